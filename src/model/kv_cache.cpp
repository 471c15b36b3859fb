#include "model/kv_cache.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "base/error.h"

namespace qvl {
namespace {

KvBlockLayout layout_of(KvForm form, int64_t head_dim) {
  QVL_CHECK(form != KvForm::f32);
  return {head_dim, form == KvForm::i16 ? KvInteger::i16 : KvInteger::i8};
}

}  // namespace

KvCache::KvCache(const TextConfig& config, KvForm form, MemoryHome memory)
    : form_(form),
      heads_(config.num_key_value_heads),
      head_dim_(config.head_dim),
      memory_(memory.with(MemoryPart::kv)) {
  const int64_t tensors = config.num_hidden_layers * (form == KvForm::f32 ? 2 : 1);
  for (int64_t i = 0; i < tensors; ++i) tensors_.emplace_back(memory_);
}

void KvCache::truncate(int64_t size) {
  QVL_CHECK(size >= 0 && size <= size_);
  size_ = size;
}

uint64_t KvCache::tensor_block_bytes() const {
  const int64_t bytes = form_ == KvForm::f32
                            ? kBlockKeys * heads_ * head_dim_ * static_cast<int64_t>(sizeof(float))
                            : heads_ * layout_of(form_, head_dim_).bytes();
  return static_cast<uint64_t>(bytes);
}

// Whole blocks for `tokens`, and as many more as lie in the memory that the pool gives for them anyway.
int64_t KvCache::filled_capacity(int64_t tokens) const {
  const auto blocks = static_cast<uint64_t>((tokens + kBlockKeys - 1) / kBlockKeys);
  const uint64_t taken = MemoryHome::taken_bytes(blocks * tensor_block_bytes());
  return static_cast<int64_t>(taken / tensor_block_bytes()) * kBlockKeys;
}

uint64_t KvCache::held_bytes() const {
  uint64_t bytes = 0;
  for (const Tensor& tensor : tensors_) bytes += MemoryHome::taken_bytes(tensor.values().size_bytes());
  return bytes;
}

// What it takes beyond what is held, and the old copy of one tensor.
uint64_t KvCache::growth_to(int64_t capacity) const {
  const auto blocks = static_cast<uint64_t>(capacity / kBlockKeys);
  const uint64_t wanted = tensors_.size() * MemoryHome::taken_bytes(blocks * tensor_block_bytes());
  const uint64_t held = held_bytes();
  return wanted + held / tensors_.size() - std::min(wanted, held);
}

uint64_t KvCache::growth_bytes(int64_t tokens) const {
  return has_room(tokens) ? 0 : growth_to(filled_capacity(size_ + tokens));
}

// Whether nobody has to give anything back for so much.
bool KvCache::is_free(int64_t capacity) const {
  return memory_.pool == nullptr || growth_to(capacity) <= memory_.pool->ledger().free_bytes();
}

// Tensor by tensor, so that only one is held twice. What throws half way leaves larger tensors behind, which
// shrink() gives back; until then they are harmless, since `capacity_` counts.
void KvCache::reserve(int64_t tokens, Growth growth) {
  QVL_CHECK(tokens >= 0);
  if (size_ + tokens <= capacity_) return;
  int64_t capacity = filled_capacity(size_ + tokens);
  const int64_t ahead = filled_capacity(std::max(size_ + tokens, capacity_ + capacity_ / 2));
  if (growth == Growth::ahead && is_free(ahead)) capacity = ahead;
  for (Tensor& tensor : tensors_) move_to(capacity, tensor);
  capacity_ = capacity;
}

void KvCache::shrink(int64_t capacity) noexcept {
  capacity = filled_capacity(std::max(capacity, size_));
  for (Tensor& tensor : tensors_) {
    try {
      move_to(capacity, tensor);
    } catch (const std::bad_alloc&) {
      // The larger memory is as good as the smaller one would be.
    }
  }
  capacity_ = std::min(capacity_, capacity);
}

void KvCache::move_to(int64_t capacity, Tensor& tensor) {
  const auto blocks = static_cast<uint64_t>(capacity / kBlockKeys);
  if (tensor.values().size_bytes() == blocks * tensor_block_bytes()) return;
  if (capacity == 0) return tensor.clear();
  if (form_ == KvForm::f32) {
    const int64_t width = heads_ * head_dim_;
    Tensor moved(static_cast<uint64_t>(capacity), static_cast<uint64_t>(width), memory_);
    std::copy_n(tensor.data(), size_ * width, moved.data());
    tensor = std::move(moved);
    return;
  }
  const int64_t block_floats = layout_of(form_, head_dim_).bytes() / static_cast<int64_t>(sizeof(float));
  const int64_t held = (size_ + kBlockKeys - 1) / kBlockKeys * block_floats;
  Tensor moved(static_cast<uint64_t>(heads_), blocks * static_cast<uint64_t>(block_floats), memory_);
  for (int64_t head = 0; head < heads_ && held > 0; ++head) {
    std::copy_n(tensor.row(static_cast<uint64_t>(head)), held, moved.row(static_cast<uint64_t>(head)));
  }
  tensor = std::move(moved);
}

void KvCache::commit(int64_t tokens) {
  QVL_CHECK(tokens >= 0 && size_ + tokens <= capacity_);
  size_ += tokens;
}

// In float32 a block is consecutive rows; else each head has its own blocks, one after another.
uint64_t KvCache::piece_offset(const Tensor& tensor, uint64_t piece, int64_t index) const {
  const uint64_t piece_floats = tensor_block_bytes() / block_pieces() / sizeof(float);
  return (form_ == KvForm::f32 ? 0 : piece * tensor.columns()) + static_cast<uint64_t>(index) * piece_floats;
}

void KvCache::read_block(int64_t index, std::span<std::byte> out) const {
  QVL_CHECK(index >= 0 && index * kBlockKeys < size_ && out.size() == block_bytes());
  const uint64_t piece_bytes = tensor_block_bytes() / block_pieces();
  // Rows in float32 are not set before they are written; blocks begin as zeros.
  const auto held = static_cast<uint64_t>(std::min(kBlockKeys, size_ - index * kBlockKeys));
  const uint64_t set_bytes = form_ == KvForm::f32 ? piece_bytes / kBlockKeys * held : piece_bytes;
  for (const Tensor& tensor : tensors_) {
    for (uint64_t piece = 0; piece < block_pieces(); ++piece) {
      std::memcpy(out.data(), tensor.data() + piece_offset(tensor, piece, index), set_bytes);
      std::fill_n(out.data() + set_bytes, piece_bytes - set_bytes, std::byte{0});
      out = out.subspan(piece_bytes);
    }
  }
}

void KvCache::append_block(std::span<const std::byte> block, int64_t tokens) {
  QVL_CHECK(size_ % kBlockKeys == 0 && has_room(kBlockKeys) && block.size() == block_bytes());
  QVL_CHECK(tokens > 0 && tokens <= kBlockKeys);
  const uint64_t piece_bytes = tensor_block_bytes() / block_pieces();
  for (Tensor& tensor : tensors_) {
    for (uint64_t piece = 0; piece < block_pieces(); ++piece) {
      std::memcpy(tensor.data() + piece_offset(tensor, piece, size_ / kBlockKeys), block.data(), piece_bytes);
      block = block.subspan(piece_bytes);
    }
  }
  size_ += tokens;
}

bool KvCache::accepts(std::span<const std::byte> block) const {
  QVL_CHECK(block.size() == block_bytes());
  if (form_ == KvForm::f32) return true;
  const KvBlockLayout layout = layout_of(form_, head_dim_);
  const auto bytes = static_cast<size_t>(layout.bytes());
  for (; !block.empty(); block = block.subspan(bytes)) {
    if (!within_limits(layout, block.first(bytes))) return false;
  }
  return true;
}

float* KvCache::keys(int64_t layer) { return tensors_[static_cast<size_t>(layer)].data(); }
float* KvCache::values(int64_t layer) {
  return tensors_[tensors_.size() / 2 + static_cast<size_t>(layer)].data();
}

KvBlocks KvCache::blocks(int64_t layer) {
  Tensor& blocks = tensors_[static_cast<size_t>(layer)];
  return {.data = std::as_writable_bytes(blocks.values()).data(),
          .head_stride = static_cast<int64_t>(blocks.columns() * sizeof(float)),
          .width = head_dim_,
          .integer = layout_of(form_, head_dim_).integer};
}

uint64_t KvCache::bytes_per_token(const TextConfig& config, KvForm form) {
  if (form == KvForm::f32) {
    return static_cast<uint64_t>(2 * config.num_hidden_layers * config.kv_width()) * sizeof(float);
  }
  // Rounded up: a block holds factors, scales and padding besides the integers.
  const int64_t heads = config.num_hidden_layers * config.num_key_value_heads;
  return static_cast<uint64_t>((heads * layout_of(form, config.head_dim).bytes() + kBlockKeys - 1) /
                               kBlockKeys);
}

}  // namespace qvl
