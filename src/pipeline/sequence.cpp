#include "pipeline/sequence.h"

#include <algorithm>

#include "base/error.h"

namespace qvl {
namespace {

// The blocks of all media of one kind, in order, handed out one by one.
class BlockQueue {
 public:
  BlockQueue(const Media& media, Medium::Kind kind, int64_t merge) {
    for (const auto& medium : media) {
      if (medium->kind != kind) continue;
      const int64_t count = medium->grid.tokens_per_step(merge);
      for (int64_t step = 0; step < medium->grid.t; ++step) {
        blocks_.push_back({.count = count, .medium = medium, .first_row = step * count});
      }
    }
  }

  bool empty() const { return next_ == blocks_.size(); }
  const VisualBlock& front() const { return blocks_[next_]; }
  void pop() { ++next_; }

 private:
  std::vector<VisualBlock> blocks_;
  size_t next_ = 0;
};

// Takes the block at `position`, where the placeholder `id` stands.
VisualBlock take_block(const std::vector<int32_t>& ids, int64_t position, BlockQueue& queue) {
  const int32_t id = ids[static_cast<size_t>(position)];
  if (queue.empty()) {
    fail(ErrorCode::usage, "prompt: token {} is a placeholder ({}), but no picture or video is left for it",
         position, id);
  }
  VisualBlock block = queue.front();
  queue.pop();
  block.position = position;
  int64_t end = position;
  while (end < std::ssize(ids) && end < position + block.count && ids[static_cast<size_t>(end)] == id) ++end;
  if (end != position + block.count) {
    fail(ErrorCode::usage, "prompt: {} placeholders from token {} on, {} needs {}", end - position, position,
         block.medium->name, block.count);
  }
  return block;
}

}  // namespace

int64_t Sequence::visual_tokens() const {
  int64_t tokens = 0;
  for (const VisualBlock& block : blocks) tokens += block.count;
  return tokens;
}

void Sequence::truncate(int64_t size) {
  QVL_CHECK(size >= 0 && size <= std::ssize(ids));
  ids.resize(static_cast<size_t>(size));
  std::erase_if(blocks, [&](const VisualBlock& block) { return block.position >= size; });
}

void Sequence::extend(const Sequence& other, int64_t size) {
  const int64_t before = this->size();
  ids.insert(ids.end(), other.ids.begin() + before, other.ids.begin() + size);
  for (const VisualBlock& block : other.blocks) {
    if (block.position >= before && block.position < size) blocks.push_back(block);
  }
}

Sequence place_media(std::vector<int32_t> ids, const Media& media, const ModelConfig& config) {
  Sequence sequence{.ids = std::move(ids)};
  if (media.empty()) return sequence;
  const int64_t merge = config.vision.spatial_merge_size;
  BlockQueue images(media, Medium::Kind::image, merge), videos(media, Medium::Kind::video, merge);
  for (int64_t i = 0; i < sequence.size();) {
    const int32_t id = sequence.ids[static_cast<size_t>(i)];
    if (id == config.tokens.image || id == config.tokens.video) {
      sequence.blocks.push_back(take_block(sequence.ids, i, id == config.tokens.image ? images : videos));
      i += sequence.blocks.back().count;
    } else {
      ++i;
    }
  }
  for (const BlockQueue* left : {&images, &videos}) {
    if (!left->empty()) {
      fail(ErrorCode::usage, "prompt: no placeholder is left for {}", left->front().medium->name);
    }
  }
  return sequence;
}

int64_t common_prefix(const Sequence& a, const Sequence& b) {
  const auto [end_a, end_b] = std::mismatch(a.ids.begin(), a.ids.end(), b.ids.begin(), b.ids.end());
  int64_t common = end_a - a.ids.begin();
  for (size_t i = 0; i < std::max(a.blocks.size(), b.blocks.size()); ++i) {
    const bool in_both = i < a.blocks.size() && i < b.blocks.size();
    if (in_both && a.blocks[i] == b.blocks[i]) continue;
    if (i < a.blocks.size()) common = std::min(common, a.blocks[i].position);
    if (i < b.blocks.size()) common = std::min(common, b.blocks[i].position);
    break;
  }
  return common;
}

Media media_from(const Sequence& sequence, const Media& media, int64_t first) {
  Media needed;
  for (const auto& medium : media) {
    const bool is_needed =
        std::any_of(sequence.blocks.begin(), sequence.blocks.end(), [&](const VisualBlock& block) {
          return block.medium == medium && block.position + block.count > first;
        });
    if (is_needed) needed.push_back(medium);
  }
  return needed;
}

std::vector<Position> positions_of(const Sequence& sequence, int64_t merge, PositionCounter& counter) {
  std::vector<Position> positions;
  positions.reserve(sequence.ids.size());
  for (const VisualBlock& block : sequence.blocks) {
    counter.append_text(block.position - std::ssize(positions), positions);
    counter.append_block(block.medium->grid.h, block.medium->grid.w, merge, positions);
  }
  counter.append_text(sequence.size() - std::ssize(positions), positions);
  return positions;
}

std::vector<VisualSpan> visual_spans(const Sequence& sequence, int64_t first) {
  std::vector<VisualSpan> spans;
  spans.reserve(sequence.blocks.size());
  for (const VisualBlock& block : sequence.blocks) {
    if (block.position + block.count <= first) continue;
    QVL_CHECK(block.medium->features != nullptr);
    spans.push_back({.position = block.position,
                     .count = block.count,
                     .features = &block.medium->features->features,
                     .first_row = block.first_row});
  }
  return spans;
}

}  // namespace qvl
