#include "monitor_view.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string_view>
#include <utility>

#include "number_text.h"

namespace qvl::cli {
namespace {

enum class Style { plain, title, label, watched, others, warning };

std::string_view sequence(Style style) {
  switch (style) {
    case Style::title:
      return "\x1b[7m";
    case Style::label:
      return "\x1b[36m";
    case Style::watched:
      return "\x1b[32m";
    case Style::others:
      return "\x1b[34m";
    case Style::warning:
      return "\x1b[31m";
    case Style::plain:
      break;
  }
  return "";
}

bool begins_character(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) != 0x80; }

// A line that ends at the edge of the screen.
class Line {
 public:
  Line(int columns, Colours colours) : left_(columns), colours_(colours) {}

  Line& add(std::string_view text, Style style = Style::plain) {
    size_t end = 0;
    int taken = 0;
    for (; end < text.size(); ++end) {
      if (!begins_character(text[end])) continue;
      if (taken == left_) break;
      ++taken;
    }
    left_ -= taken;
    const std::string_view colour = colours_ == Colours::ansi ? sequence(style) : "";
    if (end == 0) return *this;
    text_ += colour;
    text_ += text.substr(0, end);
    if (!colour.empty()) text_ += "\x1b[0m";
    return *this;
  }
  Line& pad_to(int left) { return add(std::string(static_cast<size_t>(std::max(left_ - left, 0)), ' ')); }
  int left() const { return left_; }
  std::string take() { return std::move(text_); }

 private:
  int left_;
  Colours colours_;
  std::string text_;
};

// "[####|||    ]": `first` and `second` are shares of the whole, of which nothing goes beyond.
void add_bar(Line& line, int width, double first, double second) {
  const int inside = width - 2;
  if (inside < 1) return;
  const auto cells = [&](double share) {
    return static_cast<int>(std::lround(std::clamp(share, 0.0, 1.0) * inside));
  };
  const int head = cells(first), tail = std::max(cells(first + second) - head, 0);
  line.add("[").add(std::string(static_cast<size_t>(head), '#'), Style::watched);
  line.add(std::string(static_cast<size_t>(tail), '|'), Style::others);
  line.add(std::string(static_cast<size_t>(inside - head - tail), ' ')).add("]");
}

std::string right(const std::string& text, size_t width) {
  return std::string(text.size() < width ? width - text.size() : 0, ' ') + text;
}

std::string percent(double share) { return fixed(100 * share, 0) + " %"; }

class Screen {
 public:
  Screen(const MachineView& view, ScreenSize size, Colours colours)
      : view_(view), size_(size), colours_(colours) {}

  std::vector<std::string> lines() {
    Line title = line();
    title.add(" qvl monitor", Style::title);
    title.add(std::string(static_cast<size_t>(std::max(title.left() - 10, 0)), ' ') + "q ends it ",
              Style::title);
    put(title);
    put_cores();
    put_load();
    put_memory();
    put_stalls();
    put_heat();
    for (const GpuView& gpu : view_.gpus) put_gpu(gpu);
    put_traffic();
    put_processes();
    if (lines_.size() > static_cast<size_t>(size_.rows)) lines_.resize(static_cast<size_t>(size_.rows));
    return std::move(lines_);
  }

 private:
  static constexpr int kLabel = 9, kCoreColumns = 36, kModelIndent = 10;
  static constexpr uint64_t kShownBytes = 1 << 19;

  Line line() const { return {size_.columns, colours_}; }
  Line labelled(std::string_view label) const {
    Line out = line();
    out.add(" ").add(label, Style::label).pad_to(size_.columns - kLabel);
    return out;
  }
  void put(Line& line) { lines_.push_back(line.take()); }

  // As many beside one another as fit, and no more than half of the screen.
  void put_cores() {
    const auto count = static_cast<int>(view_.cores.size());
    const int most_rows = std::max(size_.rows / 2, 1),
              most_columns = std::max(size_.columns / kCoreColumns, 1);
    const int columns = std::clamp((count + most_rows - 1) / most_rows, 1, most_columns);
    const int rows = std::min((count + columns - 1) / columns, most_rows);
    const int width = size_.columns / columns;
    for (int row = 0; row < rows; ++row) {
      Line out = line();
      for (int column = 0; column < columns && column * rows + row < count; ++column) {
        add_core(out, view_.cores[static_cast<size_t>(column * rows + row)], width);
        out.pad_to(size_.columns - (column + 1) * width);
      }
      put(out);
    }
    if (rows * columns >= count) return;
    Line more = line();
    put(more.add("     and " + std::to_string(count - rows * columns) + " more"));
  }
  static void add_core(Line& out, const CoreView& core, int width) {
    out.add(right(std::to_string(core.cpu), 4), Style::label).add(" ");
    add_bar(out, width - 5 - 18, core.watched, core.busy - core.watched);
    out.add(right(percent(core.busy), 7));
    out.add(core.mhz ? right(fixed(*core.mhz / 1000, 1) + " GHz", 9) : std::string(9, ' ')).add("  ");
  }

  void put_load() {
    Line out = labelled("busy");
    if (!view_.busy_cpus) {
      put(out.add("measuring ..."));
      return;
    }
    out.add(fixed(*view_.busy_cpus, 2) + " of " + counted(std::ssize(view_.cores), "processor"));
    if (view_.watched_cpus) {
      out.add(": ").add("# watched " + fixed(*view_.watched_cpus, 2), Style::watched).add(", ");
      out.add("| others " + fixed(*view_.other_cpus, 2), Style::others);
    }
    if (view_.stolen_cpus.value_or(0) >= 0.01) {
      out.add(", " + fixed(*view_.stolen_cpus, 2) + " taken by other machines", Style::warning);
    }
    put(out);
  }

  // What the watched processes hold of it, and the rest.
  void put_memory() {
    const MemoryView& memory = view_.memory;
    if (!memory.total_bytes || !memory.available_bytes) return;
    const auto total = static_cast<double>(std::max<uint64_t>(*memory.total_bytes, 1));
    const double used = 1 - static_cast<double>(*memory.available_bytes) / total;
    double watched = 0;
    for (const ProcessView& process : view_.processes) {
      watched += static_cast<double>(process.rss_bytes.value_or(0)) / total;
    }
    watched = std::min(watched, used);
    Line out = labelled("memory");
    add_bar(out, std::max(size_.columns - kLabel - 44, 12), watched, used - watched);
    out.add(" " + byte_size(*memory.total_bytes - std::min(*memory.available_bytes, *memory.total_bytes)) +
            " of " + byte_size(*memory.total_bytes));
    if (memory.limit_bytes && *memory.limit_bytes < *memory.total_bytes) {
      out.add(", " + byte_size(*memory.limit_bytes) + " for one here");
    }
    put(out);
    if (memory.swap_total_bytes.value_or(0) == 0 || !memory.swap_free_bytes) return;
    Line swap = labelled("swap");
    put(swap.add(
        byte_size(*memory.swap_total_bytes - std::min(*memory.swap_free_bytes, *memory.swap_total_bytes)) +
        " of " + byte_size(*memory.swap_total_bytes)));
  }

  void put_stalls() {
    Line out = labelled("stalls");
    bool any = false;
    const auto add = [&](std::string_view name, const std::optional<double>& share) {
      if (!share) return;
      out.add(any ? ", " : "").add(name).add(" ");
      out.add(fixed(*share, 1) + " %", *share >= 10 ? Style::warning : Style::plain);
      any = true;
    };
    add("processors", view_.stalls.cpu);
    add("memory", view_.stalls.memory);
    add("disks", view_.stalls.io);
    if (any) put(out.add(" of the last 10 s"));
  }

  void put_heat() {
    if (!view_.hottest && !view_.watts && !view_.battery_percent) return;
    Line out = labelled("heat");
    if (const auto& hot = view_.hottest) {
      const bool near = hot->celsius >= hot->limit_c.value_or(100) - 10;
      out.add(fixed(hot->celsius, 0) + " C", near ? Style::warning : Style::plain);
      if (hot->limit_c) out.add(" of " + fixed(*hot->limit_c, 0));
      out.add(" " + hot->name + "  ");
    }
    if (view_.watts) out.add(fixed(*view_.watts, 1) + " W  ");
    if (view_.battery_percent) {
      out.add("battery " + fixed(*view_.battery_percent, 0) + " %" +
              (view_.on_mains.value_or(false) ? " on mains" : ""));
    }
    put(out);
  }

  void put_gpu(const GpuView& gpu) {
    Line out = labelled("GPU");
    if (gpu.busy) {
      add_bar(out, std::max(size_.columns / 4, 12), 0, *gpu.busy);
      out.add(" " + percent(*gpu.busy) + "  ");
    }
    if (gpu.memory_used_bytes) {
      out.add(byte_size(*gpu.memory_used_bytes) +
              (gpu.memory_total_bytes ? " of " + byte_size(*gpu.memory_total_bytes) : "") + "  ");
    }
    if (gpu.celsius) out.add(fixed(*gpu.celsius, 0) + " C  ");
    if (gpu.watts) out.add(fixed(*gpu.watts, 0) + " W  ");
    put(out.add(gpu.name));
  }

  void put_traffic() {
    const auto rate = [](const std::optional<double>& bytes) {
      return fixed(bytes.value_or(0) / 1e6, 1) + " MB/s";
    };
    Line out = labelled("traffic");
    if (view_.read_bytes_per_s || view_.written_bytes_per_s) {
      out.add("disks read " + rate(view_.read_bytes_per_s) + ", written " + rate(view_.written_bytes_per_s) +
              "  ");
    }
    if (view_.received_bytes_per_s || view_.sent_bytes_per_s) {
      out.add("network in " + rate(view_.received_bytes_per_s) + ", out " + rate(view_.sent_bytes_per_s));
    }
    put(out);
  }

  void put_processes() {
    Line blank = line();
    put(blank);
    if (view_.processes.empty()) {
      Line none = line();
      put(none.add(" no running qvl tells of itself"));
    }
    for (const ProcessView& process : view_.processes) {
      Line out = line();
      out.add(right(std::to_string(process.pid), 8), Style::label).add("  " + process.name + "  ");
      out.add(process.cpus ? fixed(*process.cpus, 2) + " processors" : "measuring ...", Style::watched);
      if (process.rss_bytes) out.add("  " + byte_size(*process.rss_bytes) + " resident");
      if (process.swapped_bytes.value_or(0) > 0) {
        out.add("  " + byte_size(*process.swapped_bytes) + " swapped out", Style::warning);
      }
      put(out);
      for (const LoadedModelView& model : process.models) put_model(model);
    }
  }

  void put_model(const LoadedModelView& model) {
    Line out = line();
    out.add(std::string(kModelIndent, ' ')).add(model.name, Style::label);
    put(out.add("  for " + fixed(model.uptime_s, 0) + " s  " + std::to_string(model.running) + " running, " +
                std::to_string(model.waiting) + " waiting, " + std::to_string(model.done) + " done"));
    std::vector<Piece> held = {
        {"holds " + byte_size(model.held_bytes) + " of " + byte_size(model.cap_bytes) + ":"}};
    for (const auto& part : model.parts) {
      if (part.held_bytes >= kShownBytes) held.push_back({part.name + " " + byte_size(part.held_bytes)});
    }
    put_pieces(held);
    std::vector<Piece> stages;
    for (const StageView& stage : model.stages) {
      std::string text = stage.name;
      if (stage.per_s) ((text += ' ') += fixed(*stage.per_s, 1)) += "/s";
      ((text += " (") += fixed(stage.mean_ms, stage.mean_ms < 10 ? 2 : 0)) += " ms)";
      stages.push_back({text, stage.per_s.value_or(0) > 0 ? Style::watched : Style::plain});
    }
    put_pieces(stages);
  }

  // Beside one another, on as many lines as they need.
  struct Piece {
    std::string text;
    Style style = Style::plain;
  };
  void put_pieces(const std::vector<Piece>& pieces) {
    if (pieces.empty()) return;
    const std::string indent(kModelIndent, ' ');
    Line out = line();
    out.add(indent);
    for (const Piece& piece : pieces) {
      if (out.left() < std::ssize(piece.text) && out.left() < size_.columns - kModelIndent) {
        put(out);
        out = line();
        out.add(indent);
      }
      out.add(piece.text, piece.style).add("  ");
    }
    put(out);
  }

  const MachineView& view_;
  ScreenSize size_;
  Colours colours_;
  std::vector<std::string> lines_;
};

void add_process(std::string& out, const ProcessView& process) {
  out += "; " + process.name + " " + std::to_string(process.pid) + ":";
  if (process.cpus) out += " " + fixed(*process.cpus, 2) + " processors";
  if (process.rss_bytes) out += " " + byte_size(*process.rss_bytes);
  for (const LoadedModelView& model : process.models) {
    out += ", " + model.name + " " + std::to_string(model.running) + " running " +
           std::to_string(model.waiting) + " waiting";
    for (const StageView& stage : model.stages) {
      if (stage.per_s.value_or(0) > 0) out += ", " + stage.name + " " + fixed(*stage.per_s, 1) + "/s";
    }
  }
}

}  // namespace

std::vector<std::string> screen_lines(const MachineView& view, ScreenSize size, Colours colours) {
  return Screen(view, size, colours).lines();
}

std::string plain_line(const MachineView& view) {
  std::string out = "busy ";
  out += view.busy_cpus ? fixed(*view.busy_cpus, 2) + " of " + std::to_string(view.cores.size()) : "unknown";
  if (view.watched_cpus) {
    out += " (watched " + fixed(*view.watched_cpus, 2) + ", others " + fixed(view.other_cpus.value_or(0), 2) +
           ")";
  }
  if (view.memory.available_bytes) out += ", " + byte_size(*view.memory.available_bytes) + " available";
  if (view.stalls.memory) out += ", memory stalls " + fixed(*view.stalls.memory, 1) + " %";
  if (view.hottest) out += ", " + fixed(view.hottest->celsius, 0) + " C";
  for (const GpuView& gpu : view.gpus) {
    if (gpu.busy) out += ", GPU " + percent(*gpu.busy);
  }
  for (const ProcessView& process : view.processes) add_process(out, process);
  return out + "\n";
}

}  // namespace qvl::cli
