// The first frame of a GIF through giflib. What lies outside the frame gets the transparent colour or colour
// 0, as Pillow shows it; what follows the first frame is not read.
#include <gif_lib.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <optional>

#include "media/codec.h"

namespace qvl {
namespace {

struct GifInput {
  std::span<const std::byte> bytes;
  size_t position = 0;
};

int read_bytes(GifFileType* gif, GifByteType* out, int count) {
  auto* input = static_cast<GifInput*>(gif->UserData);
  size_t wanted = static_cast<size_t>(std::max(count, 0));
  size_t got = std::min(wanted, input->bytes.size() - input->position);
  std::memcpy(out, input->bytes.data() + input->position, got);
  input->position += got;
  return static_cast<int>(got);
}

struct CloseGif {
  void operator()(GifFileType* gif) const { DGifCloseFile(gif, nullptr); }
};

// The rows of an interlaced frame come in four passes.
struct Pass {
  int first;
  int step;
};
constexpr std::array interlaced_passes = {Pass{0, 8}, Pass{4, 8}, Pass{2, 4}, Pass{1, 2}};
constexpr std::array plain_passes = {Pass{0, 1}};

class GifDecoder {
 public:
  explicit GifDecoder(const PictureSource& source) : source_(source), input_{.bytes = source.bytes} {
    int error = 0;
    gif_.reset(DGifOpen(&input_, read_bytes, &error));
    if (!gif_) refuse(error);
  }

  Size measure() {
    // A screen beyond the limits is refused before anything behind it is read.
    check_size(source_, {.height = gif_->SHeight, .width = gif_->SWidth});
    find_first_frame();
    const GifImageDesc& frame = gif_->Image;
    if (frame.Width <= 0 || frame.Height <= 0 || frame.Left < 0 || frame.Top < 0) {
      fail(ErrorCode::media, "{}: damaged GIF: its first frame has {}x{} pixels at ({}, {})", source_.name,
           frame.Width, frame.Height, frame.Left, frame.Top);
    }
    // A frame that reaches beyond the screen enlarges it.
    Size size{.height = std::max<int64_t>(gif_->SHeight, int64_t{frame.Top} + frame.Height),
              .width = std::max<int64_t>(gif_->SWidth, int64_t{frame.Left} + frame.Width)};
    check_size(source_, size);
    return size;
  }

  DecodedPicture decode() {
    DecodedPicture picture;
    picture.image = make_image(measure(), source_.memory);
    fill_background(picture.image);
    read_rows(picture.image);
    return picture;
  }

 private:
  void find_first_frame() {
    while (true) {
      GifRecordType record = UNDEFINED_RECORD_TYPE;
      if (DGifGetRecordType(gif_.get(), &record) == GIF_ERROR) refuse(gif_->Error);
      if (record == TERMINATE_RECORD_TYPE) fail(ErrorCode::media, "{}: GIF without a picture", source_.name);
      if (record == IMAGE_DESC_RECORD_TYPE) break;
      read_extension();
    }
    if (DGifGetImageDesc(gif_.get()) == GIF_ERROR) refuse(gif_->Error);
    colours_ = gif_->Image.ColorMap != nullptr ? gif_->Image.ColorMap : gif_->SColorMap;
  }

  void read_extension() {
    int code = 0;
    GifByteType* block = nullptr;  // length, then bytes
    if (DGifGetExtension(gif_.get(), &code, &block) == GIF_ERROR) refuse(gif_->Error);
    GraphicsControlBlock control;
    if (code == GRAPHICS_EXT_FUNC_CODE && block != nullptr &&
        DGifExtensionToGCB(block[0], block + 1, &control) == GIF_OK && control.TransparentColor >= 0) {
      transparent_ = control.TransparentColor;
    }
    while (block != nullptr) {
      if (DGifGetExtensionNext(gif_.get(), &block) == GIF_ERROR) refuse(gif_->Error);
    }
  }

  // Without any palette an index is a shade of grey.
  GifColorType colour(int index) const {
    if (colours_ == nullptr) {
      auto shade = static_cast<GifByteType>(index);
      return {shade, shade, shade};
    }
    if (index >= colours_->ColorCount) {
      fail(ErrorCode::media, "{}: damaged GIF: a pixel has colour {}, the palette {} colours", source_.name,
           index, colours_->ColorCount);
    }
    return colours_->Colors[index];
  }

  void fill_background(Image& image) const {
    const GifImageDesc& frame = gif_->Image;
    if (frame.Width == image.width && frame.Height == image.height) return;
    GifColorType background = colour(transparent_.value_or(0));
    for (size_t i = 0; i < image.rgb.size(); i += 3) {
      image.rgb[i] = background.Red;
      image.rgb[i + 1] = background.Green;
      image.rgb[i + 2] = background.Blue;
    }
  }

  void read_rows(Image& image) {
    const GifImageDesc frame = gif_->Image;
    std::vector<GifPixelType> indices(static_cast<size_t>(frame.Width));
    std::span<const Pass> passes = plain_passes;
    if (frame.Interlace) passes = interlaced_passes;
    for (Pass pass : passes) {
      for (int y = pass.first; y < frame.Height; y += pass.step) {
        if (DGifGetLine(gif_.get(), indices.data(), frame.Width) == GIF_ERROR) refuse(gif_->Error);
        uint8_t* out = image.rgb.data() + ((int64_t{frame.Top} + y) * image.width + frame.Left) * 3;
        for (GifPixelType index : indices) {
          GifColorType shade = colour(index);
          *out++ = shade.Red;
          *out++ = shade.Green;
          *out++ = shade.Blue;
        }
      }
    }
  }

  // Whether the screen descriptor and its palette are there.
  bool has_screen() const {
    constexpr size_t header_bytes = 13, flags_at = 10;
    if (source_.bytes.size() < header_bytes) return false;
    const uint8_t flags = source_.data()[flags_at];
    const size_t colours = (flags & 0x80) != 0 ? size_t{2} << (flags & 7) : 0;
    return source_.bytes.size() >= header_bytes + 3 * colours;
  }

  [[noreturn]] void refuse(int error) const {
    // giflib finds no descriptor where there is no memory for its palette either.
    if (error == D_GIF_ERR_NOT_ENOUGH_MEM || (error == D_GIF_ERR_NO_SCRN_DSCR && has_screen())) {
      fail(ErrorCode::limit, "{}: not enough memory to decode this GIF", source_.name);
    }
    const char* text = GifErrorString(error);
    fail(ErrorCode::media, "{}: damaged GIF: {}", source_.name, text != nullptr ? text : "cannot be decoded");
  }

  const PictureSource& source_;
  GifInput input_;
  std::unique_ptr<GifFileType, CloseGif> gif_;
  const ColorMapObject* colours_ = nullptr;
  std::optional<int> transparent_;
};

}  // namespace

ImageHeader measure_gif(const PictureSource& source) { return {.size = GifDecoder(source).measure()}; }

DecodedPicture decode_gif(const PictureSource& source) { return GifDecoder(source).decode(); }

}  // namespace qvl
