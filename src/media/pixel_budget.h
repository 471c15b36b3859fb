// The size rule shared by pictures and videos: multiples of a factor within a budget of pixels.
#pragma once

#include <optional>
#include <string_view>

#include "media/image.h"

namespace qvl {

struct PixelBudget {
  Size size;                  ///< before
  int64_t frames = 1;         ///< as sampled; scales the size
  int64_t padded_frames = 1;  ///< rounded up to whole temporal patches; compared with the budget
  int64_t factor = 32;
  int64_t min_pixels = 0;  ///< over all frames
  int64_t max_pixels = 0;
  /// Of factor x factor pixels in one temporal step: lowers max_pixels as far as that takes.
  std::optional<int64_t> max_tokens = {};
};

/// The size to resize to. Throws Error{media} for an empty or too long picture, Error{limit} for a budget
/// that leads nowhere, Error{usage} for tokens that min_pixels does not allow, beginning with `name`.
Size fit_pixel_budget(const PixelBudget& budget, std::string_view name);

}  // namespace qvl
