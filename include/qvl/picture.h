// A picture of a request: a file, the bytes of one, or pixels that lie in the program's memory.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <variant>

namespace qvl {

/// Pixels of a program, in whatever form it has them. Nothing of them is copied before a request is prepared:
/// they are read once to know whether their features are kept, and where they are not, once more into memory
/// under the cap. Must not change until the request has begun to answer; where the second reading finds
/// other pixels than the first, the request fails.
class PixelSource {
 public:
  virtual ~PixelSource() = default;
  virtual int64_t width() const = 0;
  virtual int64_t height() const = 0;
  /// Writes the rows from `first` on, as many as fill `rgb`: [rows, width, 3], the top one first. Called on
  /// threads of the pipeline, by several at once where several requests have it. May throw Error, and
  /// std::bad_alloc.
  virtual void read_rows(int64_t first, std::span<uint8_t> rgb) const = 0;
};

/// Samples of 8 bits that lie in memory as strides say: borrowed.
struct PixelArray {
  const uint8_t* first = nullptr;  ///< the red sample of the pixel on top on the left; green and blue follow
  int64_t width = 0, height = 0;
  /// Bytes from one to the next: may be 0, where one stands for all, or negative.
  int64_t row_stride = 0, pixel_stride = 3, sample_stride = 1;
  std::shared_ptr<const void> keep_alive = {};  ///< let go on any thread
};
std::shared_ptr<const PixelSource> pixel_source(PixelArray array);

/// The bytes of a file. Borrowed until the request has begun to answer, and not to be changed until then.
struct FileBytes {
  std::span<const std::byte> bytes = {};
  std::shared_ptr<const void> keep_alive = {};  ///< let go on any thread
};

/// Cheap to copy.
class Picture {
 public:
  /// A file, from whatever is a path.
  template <typename Path>
  requires(std::convertible_to<Path, std::filesystem::path>)
      Picture(Path&& path)  // NOLINT: lists of paths are lists of pictures
      : name_(std::forward<Path>(path)) {}
  /// `name` stands in messages, plans and reports where a file has its path: "images[0]".
  Picture(std::string name, FileBytes file) : name_(std::move(name)), content_(std::move(file)) {}
  /// Throws Error{media} and Error{limit} for a size that a file's picture may not have.
  Picture(std::string name, std::shared_ptr<const PixelSource> pixels);

  /// The path of a file, the name of what is none.
  const std::filesystem::path& path() const { return name_; }
  /// Null for a picture of another kind.
  const FileBytes* file_bytes() const { return std::get_if<FileBytes>(&content_); }
  const PixelSource* pixels() const;
  /// Whether path() is one.
  bool is_file() const { return std::holds_alternative<OnDisk>(content_); }
  /// Lets go of what it borrows. It keeps its name, and cannot be read any more.
  void let_go();

 private:
  struct OnDisk {};
  struct LetGo {};

  std::filesystem::path name_;
  std::variant<OnDisk, FileBytes, std::shared_ptr<const PixelSource>, LetGo> content_;
};

}  // namespace qvl
