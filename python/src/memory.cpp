// The account and pool behind qvl.MemoryManager.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>

#include "bindings.h"

namespace qvl::python {
namespace {

using Bytes = nb::ndarray<nb::numpy, uint8_t, nb::ndim<1>, nb::c_contig>;

// The array keeps the block, and the block its pool.
Bytes allocate(system::MemoryManager& memory, uint64_t bytes) {
  std::unique_ptr<system::TensorBlock> block;
  {
    const nb::gil_scoped_release unlocked;
    block = std::make_unique<system::TensorBlock>(memory.allocate(bytes));
  }
  void* data = block->data();
  const size_t size = block->size();
  const nb::capsule owner(block.get(), [](void* held) noexcept {
    const std::unique_ptr<system::TensorBlock> ended(static_cast<system::TensorBlock*>(held));
  });
  (void)block.release();
  return Bytes(data, {size}, owner);
}

nb::dict cleanup(system::MemoryManager& memory) {
  system::CleanedMemory cleaned;
  {
    const nb::gil_scoped_release unlocked;
    cleaned = memory.cleanup_memory();
  }
  nb::dict out;
  out["cache_bytes"] = cleaned.cache_bytes;
  out["pool_bytes"] = cleaned.pool_bytes;
  out["heap_bytes"] = cleaned.heap_bytes;
  out["description"] = cleaned.description;
  return out;
}

}  // namespace

void bind_memory(nb::module_& module) {
  using Memory = system::MemoryManager;
  nb::class_<Memory>(module, "Memory")
      .def(
          "__init__", [](Memory* self, nb::handle config) { new (self) Memory(config_of(config)); },
          nb::arg("config").none())
      .def("allocate", &allocate, nb::arg("bytes"))
      .def("is_available", &Memory::is_memory_available, nb::arg("bytes"))
      .def("cleanup", &cleanup)
      .def("usage", [](const Memory& self) { return parsed(self.memory_usage()); })
      .def("report", [](const Memory& self) { return parsed(self.memory_efficiency_report()); });
}

}  // namespace qvl::python
