// A library opened while the program runs, so that the program also starts where it is missing.
#pragma once

#include <bit>
#include <filesystem>
#include <optional>
#include <string>

namespace qvl {

/// Open for as long as the object lives. Thread-compatible.
class SharedLibrary {
 public:
  /// `name` is a path, or a file name that the system's linker looks for. Running a library's code while it
  /// is opened cannot be avoided: only names that the program itself chose may come here.
  explicit SharedLibrary(const std::filesystem::path& name);
  ~SharedLibrary();
  SharedLibrary(const SharedLibrary&) = delete;
  SharedLibrary& operator=(const SharedLibrary&) = delete;

  /// Why the library could not be opened, in one line.
  const std::optional<std::string>& problem() const { return problem_; }

  /// The function of that name, or null. The caller knows its type.
  template <typename Function>
  Function* function(const char* name) const {
    return std::bit_cast<Function*>(symbol(name));
  }

 private:
  void* symbol(const char* name) const;

  void* handle_ = nullptr;
  std::optional<std::string> problem_;
};

}  // namespace qvl
