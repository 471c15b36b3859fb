// One safetensors file: its header checked against its bytes.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "memory/mapped_file.h"
#include "tensor/tensor.h"

namespace qvl {

/// One tensor of a safetensors file.
struct SafetensorsTensor {
  std::string name;
  std::string stored_type;     ///< as in the file, e.g. "BF16", "I64"
  std::optional<DType> dtype;  ///< nothing for types a weight cannot have
  Shape shape;
  std::span<const std::byte> bytes;  ///< exactly as many as type and shape ask for
};

struct SafetensorsFile {
  MappedFile file;  ///< what the tensors' bytes point into
  std::vector<SafetensorsTensor> tensors;
};

/// Maps and checks a file: header length, syntax, types, and that the tensors fill the data without overlap
/// or hole. Throws Error{model_file} naming the file and the tensor.
SafetensorsFile read_safetensors(const std::filesystem::path& path);

}  // namespace qvl
