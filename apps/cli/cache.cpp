// qvl cache: the packed weights and results of requests that are kept, and removing them.
#include "qvl/cache.h"

#include <chrono>
#include <memory>
#include <string>

#include "answer_report.h"
#include "commands.h"
#include "number_text.h"
#include "options.h"
#include "output.h"

namespace qvl::cli {
namespace {

struct CacheArgs {
  std::string folder = {};  // empty: the user's
  bool clear = false, json = false;
};

uint64_t total_bytes(const CacheContents& contents) {
  uint64_t total = contents.results.bytes;
  for (const PackedFile& file : contents.files) total += file.bytes;
  return total;
}

std::string two_digits(int64_t value) { return (value < 10 ? "0" : "") + std::to_string(value); }

// "2025-11-30T08:15:00Z"
std::string utc(std::chrono::system_clock::time_point time) {
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(std::chrono::floor<std::chrono::seconds>(time - day));
  return std::to_string(static_cast<int>(date.year())) + "-" +
         two_digits(static_cast<unsigned>(date.month())) + "-" +
         two_digits(static_cast<unsigned>(date.day())) + "T" + two_digits(clock.hours().count()) + ":" +
         two_digits(clock.minutes().count()) + ":" + two_digits(clock.seconds().count()) + "Z";
}

Json results_json(const KeptResults& results) { return {{"files", results.files}, {"bytes", results.bytes}}; }

Json files_json(const CacheContents& contents) {
  Json files = Json::array();
  for (const PackedFile& file : contents.files) {
    files.push_back({{"name", file.name},
                     {"bytes", file.bytes},
                     {"last_used", utc(file.last_used)},
                     {"checkpoint", file.checkpoint ? Json(*file.checkpoint) : Json(nullptr)}});
  }
  return files;
}

std::string megabytes(uint64_t bytes) { return fixed(static_cast<double>(bytes) / 1e6, 1) + " MB"; }

std::string in_folder(const CacheContents& contents) {
  const auto results = static_cast<int64_t>(contents.results.files);
  return counted(std::ssize(contents.files), "packed file") +
         (results > 0 ? " and " + counted(results, "file") + " of earlier requests" : "") + ", " +
         megabytes(total_bytes(contents)) + ", in " + contents.folder.string();
}

int list(const CacheContents& contents, const CacheArgs& args) {
  if (args.json) {
    print(to_line({{"folder", contents.folder.string()},
                   {"files", files_json(contents)},
                   {"results", results_json(contents.results)},
                   {"total_bytes", total_bytes(contents)}}));
    return 0;
  }
  std::string text;
  for (const PackedFile& file : contents.files) {
    text += file.name + "  " + megabytes(file.bytes) + ", last used " + utc(file.last_used) + ", of " +
            file.checkpoint.value_or("an unknown checkpoint") + "\n";
  }
  if (contents.results.files > 0) {
    text += "features  " + megabytes(contents.results.bytes) +
            ", features of pictures and beginnings of prompts\n";
  }
  print(text + in_folder(contents) + "\n");
  return 0;
}

int clear(const CacheRemoval& removal, const CacheArgs& args) {
  if (args.json) {
    print(to_line({{"folder", removal.removed.folder.string()},
                   {"removed", files_json(removal.removed)},
                   {"removed_results", results_json(removal.removed.results)},
                   {"freed_bytes", total_bytes(removal.removed)},
                   {"warnings", removal.problems}}));
  } else {
    print("removed " + in_folder(removal.removed) +
          "; a process that uses one keeps it, and its space, until it ends\n");
    for (const std::string& problem : removal.problems) print_error(problem);
  }
  return removal.problems.empty() ? 0 : static_cast<int>(ErrorCode::environment);
}

int cache(const CacheArgs& args) {
  std::optional<std::filesystem::path> folder;
  if (!args.folder.empty()) folder = args.folder;
  return args.clear ? clear(clear_cache(folder), args) : list(read_cache(folder), args);
}

}  // namespace

void add_cache(CLI::App& app, Action& action) {
  auto args = std::make_shared<CacheArgs>();
  CLI::App& command = *app.add_subcommand(
      "cache",
      "Lists the packed weights and the results of requests that are kept between starts, or "
      "removes them.");
  add_name(command, "--cache-dir,--cache", args->folder, "FOLDER", "another folder than the user's");
  command.add_flag("--clear", args->clear,
                   "remove these files and nothing else; a process that uses one keeps it until it ends");
  command.add_flag("--json", args->json, "print one JSON object");
  add_example(command, "qvl cache --clear");
  command.callback([args, &action] { action = [args] { return cache(*args); }; });
}

}  // namespace qvl::cli
