#include "files/tensor_table.h"

#include "base/error.h"

namespace qvl {

bool TensorTable::add(const std::string& name, TensorView tensor) {
  return entries_.try_emplace(name, Entry{.tensor = std::move(tensor), .unusable_because = {}}).second;
}

bool TensorTable::add_unusable(const std::string& name, std::string reason) {
  return entries_.try_emplace(name, Entry{.tensor = {}, .unusable_because = std::move(reason)}).second;
}

const TensorView* TensorTable::find(std::string_view name) const {
  auto found = entries_.find(name);
  if (found == entries_.end()) return nullptr;
  if (!found->second.unusable_because.empty()) {
    fail(ErrorCode::model_file, "{}", found->second.unusable_because);
  }
  return &found->second.tensor;
}

std::vector<std::string> TensorTable::names() const {
  std::vector<std::string> names;
  names.reserve(entries_.size());
  for (const auto& [name, entry] : entries_) names.push_back(name);
  return names;
}

void TensorTable::release(std::span<const std::byte> bytes) const {
  for (const MappedFile& file : files_) file.release(bytes);
}

void TensorTable::release_all() const {
  for (const MappedFile& file : files_) file.release(file.bytes());
}

std::string TensorTable::fingerprint() const {
  std::string out;
  for (const MappedFile& file : files_) {
    const auto state = file.fingerprint();
    if (!state) return {};
    out += *state + '\n';
  }
  return out;
}

void TensorTable::check_unchanged() const {
  for (const MappedFile& file : files_) file.check_unchanged();
}

void TensorTable::check_undamaged() const {
  for (const MappedFile& file : files_) file.check_undamaged();
}

}  // namespace qvl
