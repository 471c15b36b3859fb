// Pictures of a request: paths, bytes of files, arrays, and what a function of Python reads.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/filesystem.h>
#include <nanobind/stl/string.h>

#include <cstring>
#include <new>
#include <string>

#include "arguments.h"
#include "bindings.h"
#include "kept.h"
#include "qvl/picture.h"

namespace qvl::python {
namespace {

// Contiguous bytes of an object, which cannot move them meanwhile.
class BufferView {
 public:
  explicit BufferView(nb::handle object) {
    if (PyObject_GetBuffer(object.ptr(), &view_, PyBUF_SIMPLE) != 0) throw nb::python_error();
  }
  ~BufferView() { PyBuffer_Release(&view_); }  // one that was moved from has nothing
  BufferView(BufferView&& other) noexcept : view_(std::exchange(other.view_, {})) {}
  BufferView(const BufferView&) = delete;
  BufferView& operator=(const BufferView&) = delete;

  std::span<const std::byte> bytes() const {
    return {static_cast<const std::byte*>(view_.buf), static_cast<size_t>(view_.len)};
  }

 private:
  Py_buffer view_ = {};
};

Picture picture_of_file(std::string name, nb::handle file) {
  const auto view = kept(BufferView(file));
  return {std::move(name), FileBytes{.bytes = view->bytes(), .keep_alive = view}};
}

using Samples = nb::ndarray<const uint8_t, nb::ndim<3>, nb::device::cpu>;

// The package has checked the shape: [height, width, 3 or 4]. A fourth sample, of transparency, is left out.
Picture picture_of_array(std::string name, const Samples& samples) {
  return {std::move(name), pixel_source({.first = samples.data(),
                                         .width = static_cast<int64_t>(samples.shape(1)),
                                         .height = static_cast<int64_t>(samples.shape(0)),
                                         .row_stride = samples.stride(0),
                                         .pixel_stride = samples.stride(1),
                                         .sample_stride = samples.stride(2),
                                         .keep_alive = kept(Samples(samples))})};
}

/// Rows that a function makes, with the interpreter's lock.
class RowsOfFunction final : public PixelSource {
 public:
  RowsOfFunction(std::string name, int64_t width, int64_t height, nb::callable rows)
      : name_(std::move(name)), width_(width), height_(height), rows_(kept(std::move(rows))) {}

  int64_t width() const override { return width_; }
  int64_t height() const override { return height_; }
  void read_rows(int64_t first, std::span<uint8_t> rgb) const override {
    const auto count = static_cast<int64_t>(rgb.size()) / (width_ * 3);
    const LentThread locked;
    try {
      const nb::object found = (*rows_)(first, count);
      if (!nb::isinstance<nb::bytes>(found)) fail("no bytes");
      const auto made = nb::borrow<nb::bytes>(found);
      if (made.size() != rgb.size()) {
        fail(std::to_string(made.size()) + " bytes, expected " + std::to_string(rgb.size()));
      }
      std::memcpy(rgb.data(), made.c_str(), rgb.size());
    } catch (nb::python_error& error) {
      if (error.matches(PyExc_MemoryError)) throw std::bad_alloc();
      fail(shown(error.value()));
    }
  }

 private:
  [[noreturn]] void fail(const std::string& found) const {
    throw Error(ErrorCode::media, name_ + ": its pixels cannot be read: found " + found);
  }

  std::string name_;
  int64_t width_, height_;
  std::shared_ptr<nb::callable> rows_;
};

Picture picture_of_rows(std::string name, int64_t width, int64_t height, nb::callable rows) {
  auto source = std::make_shared<RowsOfFunction>(name, width, height, std::move(rows));
  return {std::move(name), std::move(source)};
}

}  // namespace

void bind_pictures(nb::module_& module) {
  nb::class_<Picture>(module, "Picture")
      .def(nb::init<const std::filesystem::path&>(), nb::arg("path"))
      .def_static("of_file", &picture_of_file, nb::arg("name"), nb::arg("file"))
      .def_static("of_array", &picture_of_array, nb::arg("name"), nb::arg("samples").noconvert())
      .def_static("of_rows", &picture_of_rows, nb::arg("name"), nb::arg("width"), nb::arg("height"),
                  nb::arg("rows"));
}

}  // namespace qvl::python
