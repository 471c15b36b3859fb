// One GGUF file (version 2 or 3, little-endian): keys, values and tensors, checked against the file's bytes.
// Knows nothing of models.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "files/gguf_metadata.h"
#include "memory/mapped_file.h"
#include "tensor/tensor.h"

namespace qvl {

struct GgufTensor {
  std::string name;
  TensorView view;  ///< shape in PyTorch order: the reverse of the file's
};

struct GgufFile {
  MappedFile file;  ///< what metadata and tensors point into
  GgufMetadata metadata;
  std::vector<GgufTensor> tensors;
};

/// Maps and checks a file. Throws Error{model_file} naming the file and the key or tensor; tensor types this
/// program cannot decode are refused by name.
GgufFile read_gguf(const std::filesystem::path& path);

}  // namespace qvl
