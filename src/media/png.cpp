// PNG through libpng. Samples of 16 bits lose their low byte, as Pillow reduces colour pictures;
// transparency, colour profiles and gamma are not applied. A wrong checksum anywhere up to the end chunk
// refuses the file.
//
// libpng reports errors by longjmp. Every function below that calls setjmp holds no object with a destructor,
// and errors are thrown only after it has returned.
#include <png.h>

#include <algorithm>
#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <string_view>

#include "media/codec.h"
#include "media/exif.h"

namespace qvl {
namespace {

constexpr size_t max_chunk_bytes = 8u << 20;
constexpr uint64_t max_inflation = 1032;  // deflate writes at most 258 bytes for two bits
constexpr unsigned max_ancillary_chunks = 128;
// Text and profiles may unpack to a thousand times their size, and no pixel depends on them.
constexpr png_byte ignored_chunks[] = "iCCP\0zTXt\0iTXt\0tEXt\0sPLT\0gAMA\0cHRM\0sRGB\0hIST\0tIME";
constexpr int ignored_chunk_count = 10;

struct PngInput {
  std::span<const std::byte> bytes;
  size_t position = 0;
  char message[160] = {};
};

[[noreturn]] void on_error(png_structp png, png_const_charp text) {
  auto* input = static_cast<PngInput*>(png_get_error_ptr(png));
  std::snprintf(input->message, sizeof input->message, "%s", text);
  png_longjmp(png, 1);
}

void ignore_warning(png_structp, png_const_charp) {}

void read_bytes(png_structp png, png_bytep out, size_t count) {
  auto* input = static_cast<PngInput*>(png_get_io_ptr(png));
  if (input->bytes.size() - input->position < count) png_error(png, "the data ends too early");
  std::memcpy(out, input->bytes.data() + input->position, count);
  input->position += count;
}

class PngDecoder {
 public:
  explicit PngDecoder(const PictureSource& source) : source_(source), input_{.bytes = source.bytes} {
    png_ = png_create_read_struct(PNG_LIBPNG_VER_STRING, &input_, on_error, ignore_warning);
    if (png_ != nullptr) info_ = png_create_info_struct(png_);
  }
  ~PngDecoder() { png_destroy_read_struct(&png_, &info_, nullptr); }
  PngDecoder(const PngDecoder&) = delete;
  PngDecoder& operator=(const PngDecoder&) = delete;

  ImageHeader measure() {
    if (info_ == nullptr) fail(ErrorCode::limit, "{}: not enough memory to decode this PNG", source_.name);
    Size size = declared_size();
    check_size(source_, size);
    if (!read_header()) refuse();
    check_length(source_, least_bytes_);
    // Grey samples and indices are read first and expanded then.
    const uint64_t row_bytes = png_get_rowbytes(png_, info_);
    const bool direct = row_bytes == 3 * uint64_t{png_get_image_width(png_, info_)};
    const uint64_t samples = direct ? 0 : row_bytes * png_get_image_height(png_, info_);
    return {
        .size = size, .decoder_bytes = MemoryHome::taken_bytes(samples), .may_be_turned = may_have_exif()};
  }

  DecodedPicture decode() {
    DecodedPicture picture;
    picture.image = make_image(measure().size, source_.memory);
    size_t width = png_get_image_width(png_, info_);
    size_t height = png_get_image_height(png_, info_);
    size_t row_bytes = png_get_rowbytes(png_, info_);
    size_t channels = row_bytes / width;
    bool direct = channels == 3;
    HomeVector<uint8_t> samples(direct ? 0 : row_bytes * height, source_.memory);
    uint8_t* first = direct ? picture.image.rgb.data() : samples.data();
    QVL_CHECK((channels == 1 || channels == 3) && row_bytes == width * channels);
    std::vector<png_bytep> rows(height);
    for (size_t y = 0; y < height; ++y) rows[y] = first + y * row_bytes;
    if (!read_pixels(rows.data())) refuse();
    if (!direct) expand(samples, picture.image);
    picture.orientation = orientation();
    return picture;
  }

 private:
  // From the first chunk itself: libpng would judge the size by its own limits, with a message that names
  // none.
  Size declared_size() const {
    constexpr size_t header_bytes = 8 + 8 + 13;
    if (source_.bytes.size() < header_bytes || std::memcmp(source_.data() + 12, "IHDR", 4) != 0) {
      fail(ErrorCode::media, "{}: damaged PNG: no IHDR chunk at its beginning", source_.name);
    }
    return {.height = png_get_uint_32(source_.data() + 20), .width = png_get_uint_32(source_.data() + 16)};
  }

  bool read_header() {
    if (setjmp(png_jmpbuf(png_))) return false;
    png_set_read_fn(png_, &input_, read_bytes);
    png_set_crc_action(png_, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
    png_set_user_limits(png_, PNG_UINT_31_MAX, PNG_UINT_31_MAX);  // make_image has judged the size
    png_set_chunk_malloc_max(png_, max_chunk_bytes);
    png_set_chunk_cache_max(png_, max_ancillary_chunks);
    png_set_keep_unknown_chunks(png_, PNG_HANDLE_CHUNK_NEVER, ignored_chunks, ignored_chunk_count);
    png_read_info(png_, info_);
    least_bytes_ =
        uint64_t{png_get_rowbytes(png_, info_)} * png_get_image_height(png_, info_) / max_inflation;
    png_set_packing(png_);
    png_set_strip_16(png_);
    png_set_strip_alpha(png_);
    if (png_get_color_type(png_, info_) == PNG_COLOR_TYPE_GRAY) png_set_expand_gray_1_2_4_to_8(png_);
    png_set_interlace_handling(png_);
    png_read_update_info(png_, info_);
    return true;
  }

  bool read_pixels(png_bytepp rows) {
    if (setjmp(png_jmpbuf(png_))) return false;
    png_read_image(png_, rows);
    png_read_end(png_, info_);
    return true;
  }

  // Grey samples or palette indices, one byte each, to colours.
  void expand(std::span<const uint8_t> samples, Image& image) const {
    png_colorp palette = nullptr;
    int colours = 0;
    bool indexed = png_get_color_type(png_, info_) == PNG_COLOR_TYPE_PALETTE;
    if (indexed) png_get_PLTE(png_, info_, &palette, &colours);
    uint8_t* out = image.rgb.data();
    for (uint8_t sample : samples) {
      if (indexed && sample >= colours) {
        fail(ErrorCode::media, "{}: damaged PNG: a pixel has colour {}, the palette {} colours", source_.name,
             sample, colours);
      }
      png_color colour = indexed ? palette[sample] : png_color{sample, sample, sample};
      *out++ = colour.red;
      *out++ = colour.green;
      *out++ = colour.blue;
    }
  }

  // The chunk may lie behind the pixels, where libpng comes only by decoding them.
  bool may_have_exif() const {
    constexpr std::string_view kType = "eXIf";
    const std::string_view file(reinterpret_cast<const char*>(source_.data()), source_.bytes.size());
    return file.find(kType) != std::string_view::npos;
  }

  int orientation() const {
    png_bytep exif = nullptr;
    png_uint_32 size = 0;
    if (png_get_eXIf_1(png_, info_, &size, &exif) == 0) return 1;
    return exif_orientation(std::as_bytes(std::span(exif, size)));
  }

  [[noreturn]] void refuse() const {
    // libpng has no codes: "Out of memory", or "insufficient memory" of zlib.
    if (std::string_view(input_.message).find("memory") != std::string_view::npos) {
      fail(ErrorCode::limit, "{}: not enough memory to decode this PNG", source_.name);
    }
    fail(ErrorCode::media, "{}: damaged or unsupported PNG: {}", source_.name, printable(input_.message));
  }

  const PictureSource& source_;
  PngInput input_;
  uint64_t least_bytes_ = 0;
  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
};

}  // namespace

ImageHeader measure_png(const PictureSource& source) { return PngDecoder(source).measure(); }

DecodedPicture decode_png(const PictureSource& source) { return PngDecoder(source).decode(); }

}  // namespace qvl
