// The one thing read from EXIF data: how the picture is turned.
#pragma once

#include <cstddef>
#include <span>

#include "media/image.h"

namespace qvl {

/// The orientation 1..8 in EXIF data (a TIFF header, after an optional "Exif\0\0"); 1 where there is none or
/// the data is damaged.
int exif_orientation(std::span<const std::byte> exif);

/// The picture as it is meant to be seen: mirrored and turned as orientation 1..8 says.
Image apply_orientation(Image image, int orientation);

}  // namespace qvl
