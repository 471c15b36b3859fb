// Standard output and input of the commands: complete writes, and a reader that went away told from a full
// disk.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "qvl/qvl.h"

namespace qvl::cli {

/// Whoever read standard output is gone: there is nobody left to work for.
struct OutputClosed {};

/// Opens /dev/null for each standard stream that is closed, so that no file opened later takes its number and
/// our text with it; lets a broken pipe and a file too large be errors instead of
/// signals.
void prepare_standard_streams();

/// Writes all of `text` to `fd`, which messages call `name`. Throws as print().
void write_text(int fd, std::string_view name, std::string_view text);

/// Writes all of `text` at once. Throws OutputClosed, or Error{environment} where the system cannot write.
void print(std::string_view text);

/// "qvl: MESSAGE" on standard error, as one line without control characters.
void print_error(std::string_view message);

/// What was noticed while `model` was loaded, each as "qvl: warning: ..." on standard error.
void print_warnings(const Model& model);

/// All of standard input. Throws Error{limit} beyond `max_bytes`.
std::string read_standard_input(uint64_t max_bytes);

/// The bytes of a file. Throws Error{usage} that begins with its name.
std::string read_text_file(const std::string& path, uint64_t max_bytes);

constexpr uint64_t kMaxTextBytes = 256ull << 20;

}  // namespace qvl::cli
