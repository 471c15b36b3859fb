// Writes a trace in the JSON format of Chrome, which ui.perfetto.dev and chrome://tracing open.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "profiler/tracer.h"

namespace qvl {

/// Writes what `tracer` holds, which may go on recording. Times are microseconds of the steady clock.
///
///   zones      complete events (ph X) on the row of their thread, with args.request
///   counters   ph C, args.value
///   instants   ph i, args.text
///   requests   a row of its own for each request that a zone names, from its first zone to its last (ph b,
///   e) metadata   the name of the process, names of threads; otherData.lost_events
///
/// The file appears at once and whole: it is written under another name beside `path`. Memory is bounded by
/// the events of one thread, the instants, and one entry for each request. Returns a line for the user that
/// names the file and what did not fit, where anything did not. Throws Error{environment} naming the file and
/// the cause where it cannot be written; nothing is left then.
std::optional<std::string> write_trace(const Tracer& tracer, std::string_view process_name,
                                       const std::filesystem::path& path);

/// Throws as write_trace() where it could not begin a file for `path`. Changes nothing there.
void check_can_write_trace(const std::filesystem::path& path);

}  // namespace qvl
