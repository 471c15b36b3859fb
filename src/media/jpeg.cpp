// JPEG through libjpeg-turbo: accurate integer DCT and smooth chroma upsampling, as Pillow and torchvision
// use it. Damage that libjpeg only warns about (missing data, bad codes) is refused; harmless oddities are
// accepted.
//
// libjpeg reports errors by longjmp. Every function below that calls setjmp holds no object with a
// destructor, and errors are thrown only after it has returned.
#include <csetjmp>
#include <cstdio>
#include <cstring>
// clang-format off
#include <jpeglib.h>
#include <jerror.h>
// clang-format on

#include "media/codec.h"
#include "media/exif.h"

namespace qvl {
namespace {

constexpr int scan_limit_code = -1;  // beside libjpeg's own message codes, which start at 0

struct JpegErrors {
  jpeg_error_mgr base;  // first: libjpeg hands back a pointer to it
  jmp_buf escape;
  int code;
  char message[JMSG_LENGTH_MAX];
};

struct ScanLimit {
  jpeg_progress_mgr base;  // first: libjpeg hands back a pointer to it
  int max_scans;
};

[[noreturn]] void leave(j_common_ptr info) {
  auto* errors = reinterpret_cast<JpegErrors*>(info->err);
  errors->code = info->err->msg_code;
  info->err->format_message(info, errors->message);
  std::longjmp(errors->escape, 1);
}

// Files with stray bytes between markers or an odd version number decode to the right pixels; the rest do
// not.
bool is_harmless(int warning) {
  return warning == JWRN_EXTRANEOUS_DATA || warning == JWRN_JFIF_MAJOR || warning == JWRN_ADOBE_XFORM ||
         warning == JWRN_BOGUS_PROGRESSION || warning == JWRN_NOT_SEQUENTIAL;
}

void on_message(j_common_ptr info, int level) {
  if (level < 0 && !is_harmless(info->err->msg_code)) leave(info);
}

void ignore_output(j_common_ptr) {}

void check_scans(j_common_ptr info) {
  auto* limit = reinterpret_cast<ScanLimit*>(info->progress);
  auto* decompress = reinterpret_cast<j_decompress_ptr>(info);
  if (decompress->input_scan_number <= limit->max_scans) return;
  auto* errors = reinterpret_cast<JpegErrors*>(info->err);
  errors->code = scan_limit_code;
  std::snprintf(errors->message, sizeof errors->message, "more than %d scans", limit->max_scans);
  std::longjmp(errors->escape, 1);
}

// Inverted CMYK, as Adobe writes it and Pillow always takes it, with Pillow's rounding.
void cmyk_to_rgb(const uint8_t* cmyk, uint8_t* rgb, int64_t pixels) {
  for (int64_t i = 0; i < pixels; ++i, cmyk += 4, rgb += 3) {
    int white = cmyk[3];
    for (int c = 0; c < 3; ++c) {
      int product = (255 - cmyk[c]) * white + 128;
      rgb[c] = static_cast<uint8_t>(white - (((product >> 8) + product) >> 8));
    }
  }
}

class JpegDecoder {
 public:
  explicit JpegDecoder(const PictureSource& source) : source_(source) {
    info_.err = jpeg_std_error(&errors_.base);
    errors_.base.error_exit = leave;
    errors_.base.emit_message = on_message;
    errors_.base.output_message = ignore_output;
    scans_.base.progress_monitor = check_scans;
    scans_.max_scans = source.limits.max_jpeg_scans;
  }
  ~JpegDecoder() { jpeg_destroy_decompress(&info_); }
  JpegDecoder(const JpegDecoder&) = delete;
  JpegDecoder& operator=(const JpegDecoder&) = delete;

  ImageHeader measure() {
    if (!read_header()) refuse();
    if (info_.num_components == 2 || info_.num_components > 4) {
      fail(ErrorCode::media, "{}: JPEG with {} components, expected 1 (grey), 3 (colour) or 4 (CMYK)",
           source_.name, info_.num_components);
    }
    Size size{.height = info_.image_height, .width = info_.image_width};
    check_size(source_, size);
    check_length(source_, least_bytes());
    return {.size = size, .decoder_bytes = coefficient_bytes(), .may_be_turned = orientation() != 1};
  }

  DecodedPicture decode() {
    DecodedPicture picture;
    const ImageHeader header = measure();
    const Reservation coefficients = source_.memory.charge(header.decoder_bytes);
    picture.image = make_image(header.size, source_.memory);
    picture.orientation = orientation();
    std::vector<uint8_t> cmyk_row(is_cmyk() ? size_t{info_.image_width} * 4 : 0);
    if (!read_pixels(picture.image.rgb.data(), cmyk_row.data())) refuse();
    return picture;
  }

 private:
  bool is_cmyk() const { return info_.num_components == 4; }

  // Huffman codes have at least one bit, and every block of the first component has one; arithmetic codes may
  // be shorter.
  uint64_t least_bytes() const {
    if (info_.arith_code) return 0;
    const jpeg_component_info& first = info_.comp_info[0];
    return uint64_t{first.width_in_blocks} * first.height_in_blocks / 8;
  }

  // A picture that comes in several scans is kept as coefficients until the last one. Blocks come in whole
  // units of all components.
  uint64_t coefficient_bytes() {
    if (!jpeg_has_multiple_scans(&info_)) return 0;
    uint64_t blocks = 0;
    for (int i = 0; i < info_.num_components; ++i) {
      const jpeg_component_info& component = info_.comp_info[i];
      const auto across = static_cast<uint64_t>(component.h_samp_factor);
      const auto down = static_cast<uint64_t>(component.v_samp_factor);
      blocks += (component.width_in_blocks + across - 1) / across * across *
                ((component.height_in_blocks + down - 1) / down * down);
    }
    return blocks * sizeof(JBLOCK);
  }

  bool read_header() {
    if (setjmp(errors_.escape)) return false;
    jpeg_create_decompress(&info_);
    info_.progress = &scans_.base;
    jpeg_mem_src(&info_, source_.data(), static_cast<unsigned long>(source_.bytes.size()));
    jpeg_save_markers(&info_, JPEG_APP0 + 1, 0xFFFF);
    jpeg_read_header(&info_, TRUE);
    return true;
  }

  bool read_pixels(uint8_t* rgb, uint8_t* cmyk_row) {
    if (setjmp(errors_.escape)) return false;
    info_.out_color_space = is_cmyk() ? JCS_CMYK : JCS_RGB;
    info_.dct_method = JDCT_ISLOW;
    info_.do_fancy_upsampling = TRUE;
    jpeg_start_decompress(&info_);
    while (info_.output_scanline < info_.output_height) {
      JSAMPROW target = rgb + size_t{info_.output_scanline} * info_.output_width * 3;
      JSAMPROW row = is_cmyk() ? cmyk_row : target;
      jpeg_read_scanlines(&info_, &row, 1);
      if (is_cmyk()) cmyk_to_rgb(row, target, info_.output_width);
    }
    jpeg_finish_decompress(&info_);
    return true;
  }

  int orientation() const {
    for (jpeg_saved_marker_ptr marker = info_.marker_list; marker != nullptr; marker = marker->next) {
      if (marker->data_length < 6 || std::memcmp(marker->data, "Exif\0\0", 6) != 0) continue;
      return exif_orientation(std::as_bytes(std::span(marker->data, marker->data_length)));
    }
    return 1;
  }

  [[noreturn]] void refuse() const {
    if (errors_.code == scan_limit_code || errors_.code == JERR_IMAGE_TOO_BIG) {
      fail(ErrorCode::limit, "{}: JPEG: {}", source_.name, errors_.message);
    }
    if (errors_.code == JERR_BAD_PRECISION) {
      fail(ErrorCode::media, "{}: JPEG with {} bits per sample, expected 8", source_.name,
           info_.data_precision);
    }
    if (errors_.code == JERR_OUT_OF_MEMORY) {
      fail(ErrorCode::limit, "{}: not enough memory to decode this JPEG", source_.name);
    }
    fail(ErrorCode::media, "{}: damaged or unsupported JPEG: {}", source_.name, printable(errors_.message));
  }

  const PictureSource& source_;
  JpegErrors errors_{};
  ScanLimit scans_{};
  jpeg_decompress_struct info_{};
};

}  // namespace

ImageHeader measure_jpeg(const PictureSource& source) { return JpegDecoder(source).measure(); }

DecodedPicture decode_jpeg(const PictureSource& source) { return JpegDecoder(source).decode(); }

}  // namespace qvl
