// Numbers as people read them, independent of the locale.
#pragma once

#include <cstdint>
#include <string>

namespace qvl::cli {

/// "3.14": `value` with so many decimals.
std::string fixed(double value, int decimals);

/// "1 thread", "2 threads".
std::string counted(int64_t count, const std::string& thing);

/// "44 MiB", "1.4 GiB".
std::string byte_size(uint64_t bytes);

}  // namespace qvl::cli
