// The JSON header of a safetensors file. Knows syntax only: nothing of files, nothing of the data behind the
// header.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/tensor.h"

namespace qvl {

/// One entry of a header as written; numbers are not yet compared with one another or with the file.
struct SafetensorsEntry {
  std::string name;
  std::string dtype;
  Shape shape;
  uint64_t begin = 0;  ///< data_offsets, relative to the end of the header
  uint64_t end = 0;
};

/// Parses a header. Memory is a small multiple of the header's size whatever it holds: a document tree is
/// never built. Throws Error{model_file} "FILE: ...": malformed or duplicate anything, more than 65536
/// tensors, rank above 8.
std::vector<SafetensorsEntry> parse_safetensors_header(std::string_view header, const std::string& file);

}  // namespace qvl
