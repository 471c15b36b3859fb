// Cutting the kernel's text files into lines, words and numbers.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/system_files.h"

namespace qvl {

/// Takes the first line off `rest`; the line comes without its end.
std::string_view take_line(std::string_view& rest);

/// Takes the first word off `rest`, blanks before it included; empty where there is none.
std::string_view take_word(std::string_view& rest);

/// A whole number from 0 to 2^64 - 1 that fills `word`.
std::optional<uint64_t> parse_counter(std::string_view word);

/// A finite decimal number that fills `word`, whatever the locale.
std::optional<double> parse_decimal(std::string_view word);

/// The number of `name` + digits ("cpu12" for "cpu"); nothing for other texts, or beyond 2^31 - 1.
std::optional<int> numbered(std::string_view text, std::string_view name);

/// The number that follows `key` at the beginning of a line, in bytes; the file gives units of 1,024.
std::optional<uint64_t> kilobyte_field(std::string_view text, std::string_view key);

/// The first line of a file made fit for a label: printable, at most 64 bytes.
std::optional<std::string> read_label(const SystemFiles& files, const std::string& path);

/// The number in a file, multiplied by `scale`; nothing where it is not within [least, most] afterwards.
/// Sensors without a value report numbers that mean none.
std::optional<double> read_scaled(const SystemFiles& files, const std::string& path, double scale,
                                  double least, double most);

}  // namespace qvl
