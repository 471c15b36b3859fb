#include "pipeline/tensor_inputs.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <string_view>

#include "base/checked.h"
#include "base/error.h"
#include "pipeline/turn.h"

namespace qvl {
namespace {

constexpr uint64_t kGridValues = 3;

// How the tensors of one kind of media are called.
struct Names {
  std::string_view values, grids;
};
constexpr Names kImageNames{.values = "pixel_values", .grids = "image_grid_thw"};
constexpr Names kVideoNames{.values = "pixel_values_videos", .grids = "video_grid_thw"};

constexpr Names names_of(Medium::Kind kind) {
  return kind == Medium::Kind::image ? kImageNames : kVideoNames;
}

PatchGrid grid_of(const PatchValues& medium) {
  return {.t = medium.grid_t, .h = medium.grid_h, .w = medium.grid_w};
}

// Patches of a grid, where it is one that the tower can look at.
std::optional<int64_t> patches_of(const PatchGrid& grid, Medium::Kind kind, int64_t merge) {
  const bool whole =
      grid.t >= 1 && grid.h >= merge && grid.w >= merge && grid.h % merge == 0 && grid.w % merge == 0;
  if (!whole || (kind == Medium::Kind::image && grid.t != 1)) return std::nullopt;
  const auto patches = checked_product(std::initializer_list<uint64_t>{
      static_cast<uint64_t>(grid.t), static_cast<uint64_t>(grid.h), static_cast<uint64_t>(grid.w)});
  return patches && *patches <= INT32_MAX ? std::optional(static_cast<int64_t>(*patches)) : std::nullopt;
}

int64_t checked_patches(const PatchGrid& grid, Medium::Kind kind, size_t index, int64_t merge) {
  const auto patches = patches_of(grid, kind, merge);
  if (patches) return *patches;
  fail(ErrorCode::usage, "{}[{}]: found [{}, {}, {}], expected [{}, h, w] with h and w multiples of {}",
       names_of(kind).grids, index, grid.t, grid.h, grid.w, kind == Medium::Kind::image ? "1" : "t", merge);
}

void check_columns(int64_t found, Medium::Kind kind, const ModelConfig& config) {
  if (!config.has_vision) {
    fail(ErrorCode::usage, "{}: the model was loaded without its vision file", names_of(kind).values);
  }
  if (found != config.vision.patch_values()) {
    fail(ErrorCode::usage, "{}: found {} values for each patch, expected {}", names_of(kind).values, found,
         config.vision.patch_values());
  }
}

void check_finite(std::span<const float> values, std::string_view name) {
  const auto bad =
      std::find_if(values.begin(), values.end(), [](float value) { return !std::isfinite(value); });
  if (bad != values.end()) {
    fail(ErrorCode::usage, "{}: value {} is {}, expected finite numbers", name, bad - values.begin(), *bad);
  }
}

void check_medium(const PatchValues& medium, Medium::Kind kind, size_t index, const ModelConfig& config) {
  check_columns(medium.values_per_patch, kind, config);
  const int64_t patches = checked_patches(grid_of(medium), kind, index, config.vision.spatial_merge_size);
  const auto values = static_cast<uint64_t>(patches) * static_cast<uint64_t>(medium.values_per_patch);
  if (medium.patches != patches || medium.values.size() != values) {
    fail(ErrorCode::usage, "{}: found {} patches with {} values for {}[{}], which has {} patches",
         names_of(kind).values, medium.patches, medium.values.size(), names_of(kind).grids, index, patches);
  }
  check_finite(medium.values, names_of(kind).values);
}

std::shared_ptr<Medium> medium_without_patches(const PatchValues& source, Medium::Kind kind, size_t index) {
  auto medium = std::make_shared<Medium>();
  medium->kind = kind;
  medium->name = fmt::format("{}[{}]", names_of(kind).grids, index);
  medium->grid = grid_of(source);
  return medium;
}

template <typename Visit>
void for_each_medium(const TensorInputs& inputs, Visit&& visit) {
  for (size_t i = 0; i < inputs.images.size(); ++i) visit(inputs.images[i], Medium::Kind::image, i);
  for (size_t i = 0; i < inputs.videos.size(); ++i) visit(inputs.videos[i], Medium::Kind::video, i);
}

// Hands out the media of a batch, one after another.
class MediaCursor {
 public:
  MediaCursor(const PatchBatch& batch, Medium::Kind kind, const ModelConfig& config)
      : batch_(batch), kind_(kind), config_(config) {
    if (batch.grids.size() % kGridValues != 0) {
      fail(ErrorCode::usage, "{}: found {} numbers, expected 3 for each", names_of(kind).grids,
           batch.grids.size());
    }
    const auto rows = static_cast<uint64_t>(std::max<int64_t>(batch.patches, 0));
    const auto columns = static_cast<uint64_t>(std::max<int64_t>(batch.values_per_patch, 0));
    if (checked_mul(rows, columns) != batch.values.size()) {
      fail(ErrorCode::usage, "{}: found {} values, expected {} patches of {}", names_of(kind).values,
           batch.values.size(), batch.patches, batch.values_per_patch);
    }
    if (count() > 0) check_columns(batch.values_per_patch, kind, config);
  }

  // As many media as `placeholders` stand for.
  std::vector<PatchValues> take(int64_t placeholders, int64_t row) {
    std::vector<PatchValues> media;
    if (count() == 0) return media;  // without media placeholders are tokens like any other
    const int64_t merge = config_.vision.spatial_merge_size;
    for (int64_t left = placeholders; left > 0; left -= media.back().patches / (merge * merge)) {
      if (next_ == count()) {
        fail(ErrorCode::usage, "input_ids: row {} has {} placeholders more than {} has tokens", row, left,
             names_of(kind_).grids);
      }
      media.push_back(take_next(merge));
    }
    return media;
  }

  // All of them are somebody's.
  void finish() const {
    if (next_ < count()) {
      fail(ErrorCode::usage, "{}: found {}, but input_ids has placeholders for {}", names_of(kind_).grids,
           count(), next_);
    }
    if (first_patch_ != batch_.patches) {
      fail(ErrorCode::usage, "{}: found {} patches, {} has {}", names_of(kind_).values, batch_.patches,
           names_of(kind_).grids, first_patch_);
    }
  }

 private:
  size_t count() const { return batch_.grids.size() / kGridValues; }

  PatchValues take_next(int64_t merge) {
    const auto grid = batch_.grids.subspan(next_ * kGridValues, kGridValues);
    PatchValues medium{
        .values_per_patch = batch_.values_per_patch, .grid_t = grid[0], .grid_h = grid[1], .grid_w = grid[2]};
    medium.patches = checked_patches(grid_of(medium), kind_, next_, merge);
    if (medium.patches > batch_.patches - first_patch_) {
      fail(ErrorCode::usage, "{}: found {} patches, {} has more", names_of(kind_).values, batch_.patches,
           names_of(kind_).grids);
    }
    const auto values = batch_.values.subspan(static_cast<size_t>(first_patch_ * batch_.values_per_patch),
                                              static_cast<size_t>(medium.patches * batch_.values_per_patch));
    medium.values.assign(values.begin(), values.end());
    first_patch_ += medium.patches;
    ++next_;
    return medium;
  }

  const PatchBatch& batch_;
  Medium::Kind kind_;
  const ModelConfig& config_;
  size_t next_ = 0;
  int64_t first_patch_ = 0;
};

void check_shape(const TensorBatch& batch) {
  const bool some = batch.rows > 0 && batch.columns > 0;
  const auto numbers =
      some ? checked_mul(static_cast<uint64_t>(batch.rows), static_cast<uint64_t>(batch.columns)) : 0;
  if (!some || numbers != batch.ids.size()) {
    fail(ErrorCode::usage, "input_ids: found {} ids as [{}, {}], expected at least one prompt and token",
         batch.ids.size(), batch.rows, batch.columns);
  }
  if (!batch.attention_mask.empty() && batch.attention_mask.size() != batch.ids.size()) {
    fail(ErrorCode::usage, "attention_mask: found {} numbers, expected one for each of {} ids",
         batch.attention_mask.size(), batch.ids.size());
  }
}

// The tokens of one row: those of the mask, which stand together.
struct RowTokens {
  int64_t first = 0;
  std::vector<int32_t> ids = {};
};

RowTokens tokens_of(const TensorBatch& batch, int64_t row, int64_t vocabulary) {
  const auto part = [&](std::span<const int64_t> values) {
    return values.subspan(static_cast<size_t>(row * batch.columns), static_cast<size_t>(batch.columns));
  };
  const auto ids = part(batch.ids);
  size_t first = 0, end = ids.size();
  if (!batch.attention_mask.empty()) {
    const auto mask = part(batch.attention_mask);
    while (first < end && mask[first] == 0) ++first;
    while (end > first && mask[end - 1] == 0) --end;
    if (first == end ||
        std::any_of(mask.begin() + first, mask.begin() + end, [](int64_t value) { return value != 1; })) {
      fail(ErrorCode::usage,
           "attention_mask: row {}: expected 1 for tokens that stand together, 0 for padding beside them",
           row);
    }
  }
  RowTokens out{.first = static_cast<int64_t>(first)};
  for (int64_t id : ids.subspan(first, end - first)) {
    if (id < 0 || id >= vocabulary) {
      fail(ErrorCode::usage, "input_ids: row {}: found {}, expected 0 to {}", row, id, vocabulary - 1);
    }
    out.ids.push_back(static_cast<int32_t>(id));
  }
  return out;
}

}  // namespace

void check_ids(const std::vector<int32_t>& ids, int64_t vocabulary) {
  if (ids.empty()) fail(ErrorCode::usage, "tokens: none given, expected at least one");
  for (int32_t id : ids) {
    if (id < 0 || id >= vocabulary) {
      fail(ErrorCode::usage, "tokens: found {}, expected 0 to {}", id, vocabulary - 1);
    }
  }
}

void check_tensor_inputs(const TensorInputs& inputs, const ModelConfig& config) {
  check_ids(inputs.ids, config.text.vocab_size);
  check_media_count(inputs.images.size() + inputs.videos.size());
  Media media;
  for_each_medium(inputs, [&](const PatchValues& medium, Medium::Kind kind, size_t index) {
    check_medium(medium, kind, index, config);
    media.push_back(medium_without_patches(medium, kind, index));
  });
  (void)place_media(inputs.ids, media, config);
}

Media media_of(const TensorInputs& inputs, detail::Runtime& runtime) {
  Media media;
  for_each_medium(inputs, [&](const PatchValues& source, Medium::Kind kind, size_t index) {
    media.push_back(medium_without_patches(source, kind, index));
    Tensor pixels(static_cast<uint64_t>(source.patches), static_cast<uint64_t>(source.values_per_patch),
                  runtime.layer.home(MemoryPart::pixels));
    std::copy(source.values.begin(), source.values.end(), pixels.data());
    media.back()->patches = {.pixels = std::move(pixels), .grid = grid_of(source)};
    media.back()->key = runtime.caches->patches_key(grid_of(source), source.values);
  });
  return media;
}

std::vector<BatchedPrompt> split_batch(const TensorBatch& batch, const ModelConfig& config) {
  check_shape(batch);
  MediaCursor images(batch.images, Medium::Kind::image, config),
      videos(batch.videos, Medium::Kind::video, config);
  std::vector<BatchedPrompt> prompts;
  for (int64_t row = 0; row < batch.rows; ++row) {
    RowTokens tokens = tokens_of(batch, row, config.text.vocab_size);
    const auto placeholders = [&](int64_t id) {
      return std::count(tokens.ids.begin(), tokens.ids.end(), id);
    };
    BatchedPrompt prompt{.inputs = {}, .first = tokens.first};
    prompt.inputs.images = images.take(placeholders(config.tokens.image), row);
    prompt.inputs.videos = videos.take(placeholders(config.tokens.video), row);
    prompt.inputs.ids = std::move(tokens.ids);
    check_tensor_inputs(prompt.inputs, config);
    prompts.push_back(std::move(prompt));
  }
  images.finish();
  videos.finish();
  return prompts;
}

}  // namespace qvl
