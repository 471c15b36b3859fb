// Reading pixels that a program has in its memory.
#pragma once

#include "media/image.h"
#include "pipeline/cache/content_key.h"
#include "qvl/picture.h"

namespace qvl {

/// All pixels, in memory from `memory`. Throws what the source throws, and MemoryRefused.
Image read_pixels(const PixelSource& source, MemoryHome memory);

/// key_of() the bytes that read_pixels() would make, without holding them.
ContentKey key_of(const PixelSource& source);

}  // namespace qvl
