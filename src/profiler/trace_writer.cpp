#include "profiler/trace_writer.h"

#include <unistd.h>

#include <algorithm>
#include <map>
#include <string>

#include "base/atomic_file.h"
#include "base/file.h"
#include "base/json.h"

namespace qvl {
namespace {

// Text as a JSON string, quotes included. Bytes that are no UTF-8 become U+FFFD.
std::string quoted(std::string_view text) {
  return Json(std::string(text)).dump(-1, ' ', false, Json::error_handler_t::replace);
}

// Whole nanoseconds as microseconds: a double would lose the last digits after some days of running.
std::string microseconds(int64_t ns) { return fmt::format("{}.{:03}", ns / 1000, ns % 1000); }

class TraceWriter {
 public:
  explicit TraceWriter(const std::filesystem::path& path) : file_(path, ErrorCode::environment) {}

  /// Returns how many events are missing.
  uint64_t write(const Tracer& tracer, std::string_view process_name) {
    const uint64_t lost = tracer.lost();
    file_.write(
        fmt::format(R"({{"displayTimeUnit":"ms","otherData":{{"lost_events":{}}},"traceEvents":[)", lost));
    metadata("process_name", ::getpid(), process_name);
    tracer.for_each_thread([this](const Tracer::ThreadEvents& thread) { write_thread(thread); });
    for (const Tracer::Instant& instant : tracer.instants()) write_instant(instant);
    for (const auto& [request, span] : requests_) write_request(request, span);
    file_.write("\n]}\n");
    file_.commit();
    return lost;
  }

 private:
  struct Span {
    int64_t thread;  // of the first zone
    int64_t begin_ns, end_ns;
  };

  // One event; `head` has what is particular to its kind, without braces.
  void event(std::string_view head, int64_t thread) {
    file_.write(fmt::format("{}\n{{{},\"pid\":{},\"tid\":{}}}", first_ ? "" : ",", head, ::getpid(), thread));
    first_ = false;
  }

  void metadata(std::string_view kind, int64_t thread, std::string_view name) {
    event(fmt::format(R"("ph":"M","name":"{}","args":{{"name":{}}})", kind, quoted(name)), thread);
  }

  void write_thread(const Tracer::ThreadEvents& thread) {
    if (!thread.name.empty()) metadata("thread_name", thread.thread, thread.name);
    // In the order of beginnings, outer zones before inner ones: readers build the nesting from it.
    std::vector<const TraceEvent*> order;
    order.reserve(thread.events.size());
    for (const TraceEvent& recorded : thread.events) order.push_back(&recorded);
    std::stable_sort(order.begin(), order.end(), [](const TraceEvent* a, const TraceEvent* b) {
      return a->begin_ns != b->begin_ns ? a->begin_ns < b->begin_ns : a->end_ns > b->end_ns;
    });
    for (const TraceEvent* recorded : order) write_event(*recorded, thread.thread);
  }

  void write_event(const TraceEvent& recorded, int64_t thread) {
    const std::string name_and_time =
        fmt::format(R"("name":{},"ts":{})", quoted(recorded.name), microseconds(recorded.begin_ns));
    switch (recorded.kind) {
      case TraceKind::zone:
        return write_zone(recorded, name_and_time, thread);
      case TraceKind::counter:
        return event(
            fmt::format(R"("ph":"C",{},"args":{{"value":{}}})", name_and_time, Json(recorded.value).dump()),
            thread);
    }
  }

  void write_zone(const TraceEvent& zone, std::string_view name_and_time, int64_t thread) {
    std::string args;
    if (zone.request) {
      args = fmt::format(R"("request":{})", *zone.request);
      auto [entry, is_new] = requests_.try_emplace(*zone.request, Span{thread, zone.begin_ns, zone.end_ns});
      Span& span = entry->second;
      if (zone.begin_ns < span.begin_ns) span = {thread, zone.begin_ns, span.end_ns};
      span.end_ns = std::max(span.end_ns, zone.end_ns);
    }
    event(fmt::format(R"("ph":"X","cat":"zone",{},"dur":{},"args":{{{}}})", name_and_time,
                      microseconds(zone.end_ns - zone.begin_ns), args),
          thread);
  }

  void write_instant(const Tracer::Instant& instant) {
    event(fmt::format(R"("ph":"i","s":"p","name":{},"ts":{},"args":{{"text":{}}})", quoted(instant.name),
                      microseconds(instant.time_ns), quoted(std::string_view(instant.text))),
          instant.thread);
  }

  void write_request(uint64_t request, const Span& span) {
    const std::string name = fmt::format(R"("cat":"request","id":"{0}","name":"request {0}")", request);
    event(fmt::format(R"("ph":"b",{},"ts":{})", name, microseconds(span.begin_ns)), span.thread);
    event(fmt::format(R"("ph":"e",{},"ts":{})", name, microseconds(span.end_ns)), span.thread);
  }

  AtomicFile file_;
  bool first_ = true;
  std::map<uint64_t, Span> requests_;
};

}  // namespace

std::optional<std::string> write_trace(const Tracer& tracer, std::string_view process_name,
                                       const std::filesystem::path& path) {
  const uint64_t lost = TraceWriter(path).write(tracer, process_name);
  if (lost == 0) return std::nullopt;
  return fmt::format("{}: {} {} did not fit: it has the last {} of each thread", path_name(path), lost,
                     lost == 1 ? "event" : "events", tracer.events_per_thread());
}

void check_can_write_trace(const std::filesystem::path& path) { const TraceWriter unwritten(path); }

}  // namespace qvl
