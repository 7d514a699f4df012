#include "runtime/media/image_codecs.h"

#include <fmt/format.h>
#include <png.h>

#include <algorithm>
#include <csetjmp>
#include <cstring>
#include <string>
#include <vector>

namespace retinue::runtime::detail {
namespace {

DataError error(std::string message) { return {.stage = "image", .message = std::move(message)}; }

struct Input {
  std::span<const std::byte> bytes;
  std::size_t position = 0;
  bool ran_out = false;
  char message[128] = "";
};

void read_bytes(png_structp png, png_bytep out, png_size_t size) {
  auto* input = static_cast<Input*>(png_get_io_ptr(png));
  if (size > input->bytes.size() - input->position) {
    input->ran_out = true;
    png_error(png, "the file ends before the image does");
  }
  std::memcpy(out, input->bytes.data() + input->position, size);
  input->position += size;
}

void keep_message(png_structp png, png_const_charp message) {
  auto* input = static_cast<Input*>(png_get_error_ptr(png));
  std::strncpy(input->message, message, sizeof input->message - 1);
  png_longjmp(png, 1);
}

void ignore_warning(png_structp, png_const_charp) {}

/// Owns libpng's two structures.
struct Reader {
  png_structp png = nullptr;
  png_infop info = nullptr;

  explicit Reader(Input& input) {
    png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &input, keep_message, ignore_warning);
    if (png != nullptr) info = png_create_info_struct(png);
    if (info == nullptr) {
      png_destroy_read_struct(&png, &info, nullptr);
      throw SystemError(
          "[image] libpng does not start: no memory, or another version than it was built with");
    }
    png_set_read_fn(png, &input, read_bytes);
  }
  ~Reader() { png_destroy_read_struct(&png, &info, nullptr); }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
};

enum class Step { kDone, kFailed };

// A function of its own, without objects that have destructors: libpng leaves it by longjmp.
Step start_reading(png_structp png, png_infop info, Alpha alpha, int* channels, int* passes) {
  if (setjmp(png_jmpbuf(png)) != 0) return Step::kFailed;
  png_set_user_limits(png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);  // the caller has checked the size
  png_set_benign_errors(png, 1);
  // libpng would inflate and keep text and profiles, which are not used.
  static const png_byte kUnread[] = "iCCP\0iTXt\0zTXt\0tEXt\0sPLT\0hIST\0eXIf\0gAMA\0cHRM\0sRGB";
  png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, kUnread, (sizeof kUnread) / 5);
  png_read_info(png, info);
  // The reference ignores the CRC of data chunks, which have zlib's checksum as well.
  png_set_crc_action(png, PNG_CRC_QUIET_USE, PNG_CRC_QUIET_USE);

  const int colour = png_get_color_type(png, info);
  const bool transparent_colour = png_get_valid(png, info, PNG_INFO_tRNS) != 0;
  const bool keep_alpha =
      alpha == Alpha::kWhite && ((colour & PNG_COLOR_MASK_ALPHA) != 0 || transparent_colour);
  if (colour == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(png);
  if (colour == PNG_COLOR_TYPE_GRAY) png_set_expand_gray_1_2_4_to_8(png);
  if (keep_alpha && transparent_colour) png_set_tRNS_to_alpha(png);
  if (!keep_alpha) png_set_strip_alpha(png);
  png_set_strip_16(png);
  if ((colour & PNG_COLOR_MASK_COLOR) == 0) png_set_gray_to_rgb(png);
  *passes = png_set_interlace_handling(png);
  png_read_update_info(png, info);
  *channels = png_get_channels(png, info);
  return Step::kDone;
}

// As above. A file that is cut after its last pixel still gives a whole image.
Step read_rows(png_structp png, png_infop info, int passes, png_bytep pixels) {
  const std::size_t row_bytes = png_get_rowbytes(png, info);
  if (setjmp(png_jmpbuf(png)) == 0) {
    for (int pass = 0; pass < passes; ++pass)
      for (png_uint_32 y = 0; y < png_get_image_height(png, info); ++y)
        png_read_row(png, pixels + y * row_bytes, nullptr);
    return Step::kDone;
  }
  const bool interlaced = png_get_interlace_type(png, info) != PNG_INTERLACE_NONE;
  const bool complete = interlaced
                            ? png_get_current_pass_number(png) >= 7
                            : png_get_current_row_number(png) >= png_get_image_height(png, info);
  return complete ? Step::kDone : Step::kFailed;
}

DataError failed(const Input& input) {
  return error(fmt::format("PNG: {}{}", input.message,
                           input.ran_out ? ". The copy is incomplete; copy it again." : ""));
}

}  // namespace

Result<ImageHeader> read_png_header(std::span<const std::byte> bytes) {
  // Signature, then IHDR as the first chunk: length, name, width, height, …
  if (bytes.size() < 33)
    return error("PNG: the file ends inside its header. The copy is incomplete; copy it again.");
  if (std::memcmp(bytes.data() + 12, "IHDR", 4) != 0)
    return error("PNG: the first chunk is not IHDR");
  const auto u32 = [&](std::size_t i) {
    std::int64_t value = 0;
    for (std::size_t k = 0; k < 4; ++k)
      value = value << 8 | std::to_integer<std::int64_t>(bytes[i + k]);
    return value;
  };
  const ImageSize size{.height = u32(20), .width = u32(16)};
  if (size.height <= 0 || size.width <= 0 || std::max(size.height, size.width) > PNG_UINT_31_MAX)
    return error(fmt::format("PNG: the header says {} x {} pixels", size.width, size.height));
  return ImageHeader{.size = size};
}

Result<Frames> decode_png(std::span<const std::byte> bytes, Frames frames, Alpha alpha) {
  const ImageSize size{.height = frames.height, .width = frames.width};
  std::vector<std::uint8_t> rgba;
  // libpng reads compressed data by the buffer and gets nothing where the file ends within one,
  // though the bytes before the end may hold the last pixels. So a file that ended is read again,
  // byte by byte.
  for (const std::size_t buffer_bytes : {std::size_t{8192}, std::size_t{1}}) {
    Input input{.bytes = bytes};
    Reader reader(input);
    png_set_compression_buffer_size(reader.png, buffer_bytes);
    int channels = 0;
    int passes = 0;
    if (start_reading(reader.png, reader.info, alpha, &channels, &passes) == Step::kFailed)
      return failed(input);
    check(channels == 3 || channels == 4, "libpng gives neither RGB nor RGBA");
    if (channels == 4) rgba.resize(static_cast<std::size_t>(size.pixels() * 4));
    if (read_rows(reader.png, reader.info, passes,
                  channels == 4 ? rgba.data() : frames.pixels.data()) == Step::kDone)
      break;
    if (!input.ran_out || buffer_bytes == 1) return failed(input);
  }
  if (!rgba.empty()) rgba_to_rgb(rgba.data(), frames.pixels.data(), size.pixels(), alpha);
  return frames;
}

}  // namespace retinue::runtime::detail
