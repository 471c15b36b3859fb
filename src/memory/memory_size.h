// Amounts of memory as people write and read them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace qvl {

/// The least amount that can be asked for as a limit: less is a slip of the unit.
inline constexpr uint64_t kLeastMemoryLimit = uint64_t{16} << 20;

/// An amount of memory from the command line, in bytes: a whole number of bytes ("1073741824"), a number with
/// a decimal (kB, MB, GB, TB) or binary unit (KiB, MiB, GiB, TiB) ("1.5GiB"), or a share of `whole_bytes` of
/// at most 100 ("60%"); fractions of a byte are dropped, and more than 2^63 - 1 bytes are as many. Throws
/// Error{usage} "OPTION: found ..., expected
/// ..." for anything else and for less than 16 MiB. The locale plays no part.
uint64_t parse_memory_limit(std::string_view text, std::string_view option, uint64_t whole_bytes);

/// "512 B", "1.5 KiB", "3.2 GiB": one digit after the point, rounded, in the largest unit that gives at
/// least 1.
std::string format_bytes(uint64_t bytes);

}  // namespace qvl
