// The one TensorSource there is: mapped files, or memory of the caller, and where tensors lie in them.
// Readers fill it, then it is immutable.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "files/model_files.h"
#include "memory/mapped_file.h"

namespace qvl {

/// Tensors by name over the files they lie in. Filled by one thread, then immutable and thread-safe.
class TensorTable final : public TensorSource {
 public:
  /// Keeps `file` mapped for as long as the table lives.
  void keep(MappedFile file) { files_.push_back(std::move(file)); }
  /// Keeps what owns memory that is no file.
  void keep(std::shared_ptr<const void> owner) { owner_ = std::move(owner); }
  /// False where the name is taken.
  bool add(const std::string& name, TensorView tensor);
  /// Adds a tensor no model can use. The file may hold it; asking for it throws `reason`.
  bool add_unusable(const std::string& name, std::string reason);

  const TensorView* find(std::string_view name) const override;
  std::vector<std::string> names() const override;
  void check_unchanged() const override;
  void check_undamaged() const override;
  std::string fingerprint() const override;
  void release(std::span<const std::byte> bytes) const override;
  void release_all() const override;

 private:
  struct Entry {
    TensorView tensor;
    std::string unusable_because;  ///< empty for a usable tensor
  };
  std::vector<MappedFile> files_;
  std::shared_ptr<const void> owner_;
  std::map<std::string, Entry, std::less<>> entries_;
};

}  // namespace qvl
