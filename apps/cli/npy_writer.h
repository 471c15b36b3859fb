// Writes a NumPy array file (.npy version 1.0) row by row.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace qvl::cli {

/// A [rows, columns] array of little-endian float32. Rows go to a temporary file beside `path`, which takes
/// its name in finish(); without finish() nothing is left. Throws Error{environment} that begins with the
/// path.
class NpyWriter {
 public:
  NpyWriter(std::string path, int64_t columns);
  ~NpyWriter();
  NpyWriter(const NpyWriter&) = delete;
  NpyWriter& operator=(const NpyWriter&) = delete;

  /// Any whole number of rows.
  void write(std::span<const float> rows);
  void finish();

 private:
  void write_bytes(const void* data, size_t size);
  void write_header();
  [[noreturn]] void refuse(const char* what) const;

  std::string path_, temporary_;
  int64_t rows_ = 0, columns_;
  int fd_ = -1;
};

}  // namespace qvl::cli
