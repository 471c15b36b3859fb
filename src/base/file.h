// Reading files. Weights are mapped instead: memory/mapped_file.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <system_error>
#include <vector>

#include "base/error.h"

namespace qvl {

/// A path as messages show it: control characters escaped, the empty one as "".
std::string path_name(const std::filesystem::path& path);

/// The bytes of a regular file of at most `max_bytes`. Throws Error{code} naming the file and the cause: not
/// there, not readable, a folder, a device, too large. Never blocks on a FIFO.
std::string read_file(const std::filesystem::path& path, uint64_t max_bytes, ErrorCode code);

/// Names in a folder, sorted. None, with `error` set, where it cannot be read; cleared otherwise. Memory that
/// runs out is std::bad_alloc: std::filesystem's iterators end the program there.
std::vector<std::string> names_in(const std::filesystem::path& folder, std::error_code& error);

/// Fills `out` with what comes next in an open file. False where the file ends before, or cannot be read.
bool read_fully(int fd, std::span<std::byte> out);

}  // namespace qvl
