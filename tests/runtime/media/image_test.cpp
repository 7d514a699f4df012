#include "runtime/media/image.h"

#include "parallel/base/hash.h"
#include "parallel/base/rng.h"
#include "runtime/media/patchify.h"
#include "runtime/media/resize.h"
#include "tests/runtime/media/image_golden.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <array>
#include <filesystem>
#include <set>

namespace retinue::runtime {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;

constexpr ImageOptions kAsTransformers{.alpha = Alpha::kDrop};

std::string sha256_of(const std::vector<std::uint8_t>& bytes) {
  return sha256_hex(std::as_bytes(std::span(bytes)));
}

/// Hash of the reference's pixel_values: f32((u8 - 127.5) / 127.5), in pieces.
std::string sha256_of_pixel_values(const layers::Patches& patches) {
  std::array<float, 256> table{};
  for (std::size_t i = 0; i < table.size(); ++i)
    table[i] = (static_cast<float>(i) - 127.5F) / 127.5F;
  Sha256 hash;
  std::vector<float> piece;
  for (std::size_t i = 0; i < patches.pixels.size(); i += piece.size()) {
    piece.resize(std::min<std::size_t>(patches.pixels.size() - i, 1 << 16));
    for (std::size_t k = 0; k < piece.size(); ++k) piece[k] = table[patches.pixels[i + k]];
    hash.update(std::as_bytes(std::span(piece)));
  }
  return hash.finish_hex();
}

VisionProcessorSpec spec_of(const Json& row) {
  VisionProcessorSpec spec;
  spec.image = {.min_pixels = row["min_pixels"], .max_pixels = row["max_pixels"]};
  return spec;
}

void expect_as_reference(const Json& row) {
  const auto bytes = read_golden_image(row["file"]);
  const auto frames = decode_image(bytes, kAsTransformers);
  if (!row.contains("rgb_sha256")) {
    ASSERT_FALSE(frames.ok()) << "the reference: " << row.dump();
    EXPECT_EQ(frames.error().stage, "image");
    return;
  }
  ASSERT_TRUE(frames.ok()) << frames.error().message;
  EXPECT_EQ(frames->height, row["height"]);
  EXPECT_EQ(frames->width, row["width"]);
  EXPECT_EQ(sha256_of(frames->pixels), row["rgb_sha256"]);

  const ImageSize size = open_image(bytes, kAsTransformers).value().size();
  EXPECT_EQ(size, (ImageSize{.height = frames->height, .width = frames->width}));

  const VisionProcessorSpec spec = spec_of(row);
  const auto patches = to_patches(*frames, spec, false);
  const auto grid = patch_grid(1, size, spec, false);
  ASSERT_EQ(patches.ok(), !row.contains("error"));
  ASSERT_EQ(grid.ok(), patches.ok());
  if (!patches.ok()) return;
  EXPECT_EQ(Json({patches->grid_thw.frames, patches->grid_thw.rows, patches->grid_thw.columns}),
            row["grid_thw"]);
  EXPECT_EQ(*grid, patches->grid_thw);
  const auto to = smart_resize_image(size, spec.factor(), spec.image);
  std::vector<std::uint8_t> resized(static_cast<std::size_t>(to->pixels() * 3));
  resize_bicubic_u8(frames->pixels, size, resized, *to);
  EXPECT_EQ(sha256_of(resized), row["resized_sha256"]);
  EXPECT_EQ(sha256_of_pixel_values(*patches), row["pixel_values_sha256"]);
}

TEST(GoldenImages, EqualTheReferenceFromBytesToPixelValues) {
  const Json manifest = read_golden("images/manifest.json");
  ASSERT_GE(manifest["cases"].size(), 100U);
  for (const Json& row : manifest["cases"]) {
    SCOPED_TRACE(row["file"].get<std::string>());
    expect_as_reference(row);
  }
}

TEST(GoldenImages, TransparencyOnWhiteFollowsTheFormula) {
  int seen = 0;
  const Json manifest = read_golden("images/manifest.json");
  for (const Json& row : manifest["cases"]) {
    if (!row.contains("rgb_sha256")) continue;
    SCOPED_TRACE(row["file"].get<std::string>());
    const auto frames = decode_image(read_golden_image(row["file"]), {.alpha = Alpha::kWhite});
    ASSERT_TRUE(frames.ok());
    const bool transparent = row.contains("white_sha256");
    EXPECT_EQ(sha256_of(frames->pixels), row[transparent ? "white_sha256" : "rgb_sha256"]);
    seen += transparent ? 1 : 0;
  }
  EXPECT_GE(seen, 15);
}

TEST(GoldenImages, FolderHoldsWhatTheManifestNames) {
  std::set<std::string> named;
  std::set<std::string> found;
  const Json manifest = read_golden("images/manifest.json");
  for (const Json& row : manifest["cases"]) named.insert(row["file"]);
  for (const auto& entry :
       std::filesystem::directory_iterator(RETINUE_SOURCE_DIR "/tests/golden/images/files"))
    found.insert(entry.path().filename().string());
  EXPECT_EQ(named, found);
}

TEST(GoldenImages, CutFilesAreReadExactlyWhereTheReferenceReadsThem) {
  const Json rows = read_golden("images/manifest.json")["truncations"];
  ASSERT_GE(rows.size(), 10U);
  for (const Json& row : rows) {
    const auto bytes = read_golden_image(row["file"]);
    std::vector<std::string> wanted(bytes.size());
    for (const Json& readable : row["readable"]) wanted[readable[0]] = readable[1];
    for (std::size_t length = 0; length < bytes.size(); ++length) {
      // A copy of its own, so that a sanitizer sees a read past the end.
      const std::vector<std::byte> cut(bytes.begin(),
                                       bytes.begin() + static_cast<std::ptrdiff_t>(length));
      const auto frames = decode_image(cut, kAsTransformers);
      const std::string got = frames.ok() ? sha256_of(frames->pixels).substr(0, 16) : "";
      ASSERT_EQ(got, wanted[length])
          << row["file"] << " cut to " << length << " of " << bytes.size() << " bytes";
    }
  }
}

std::vector<std::byte> bytes_of(std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

std::string message_of(const std::vector<std::byte>& bytes) {
  const auto image = open_image(bytes);
  EXPECT_FALSE(image.ok());
  return image.ok() ? "" : image.error().message;
}

TEST(Image, ARefusalDescribesTheContent) {
  EXPECT_THAT(message_of({}), HasSubstr("got an empty file"));
  EXPECT_THAT(message_of(read_golden_image("text.jpg")),
              HasSubstr("wanted a JPEG, PNG or WebP, got text"));
  EXPECT_THAT(message_of(read_golden_image("picture.gif")),
              HasSubstr("got a GIF. Convert it to PNG"));
  EXPECT_THAT(message_of(read_golden_image("picture.bmp")), HasSubstr("got a BMP"));
  EXPECT_THAT(message_of(read_golden_image("picture.tif")), HasSubstr("got a TIFF"));
  EXPECT_THAT(message_of(read_golden_image("page.png")), HasSubstr("got an HTML page"));
  EXPECT_THAT(message_of(read_golden_image("vector.webp")), HasSubstr("got an SVG"));
  EXPECT_THAT(message_of(read_golden_image("noise.png")), HasSubstr("got unknown bytes 0d d2"));
  EXPECT_THAT(message_of(bytes_of(std::string_view("\0\0\0\x1C"
                                                   "ftypheic",
                                                   12))),
              HasSubstr("got a HEIC"));
  EXPECT_THAT(message_of(bytes_of(std::string_view("\0\0\0\x1C"
                                                   "ftypavif",
                                                   12))),
              HasSubstr("got an AVIF"));
}

TEST(Image, TheHeaderGivesKindSizesAndOrientation) {
  const auto bytes = read_golden_image("exif_6.jpg");
  const OpenedImage upright = open_image(bytes).value();
  EXPECT_EQ(upright.kind(), ImageKind::kJpeg);
  EXPECT_EQ(upright.orientation(), 6);
  EXPECT_EQ(upright.size(), (ImageSize{.height = upright.stored_size().width,
                                       .width = upright.stored_size().height}));
  const OpenedImage stored =
      open_image(bytes, {.exif_orientation = ExifOrientation::kIgnore}).value();
  EXPECT_EQ(stored.orientation(), 1);
  EXPECT_EQ(stored.size(), upright.stored_size());
}

TEST(Image, OneOpenedImageCanBeDecodedTwice) {
  const auto bytes = read_golden_image("exif_6.jpg");
  const OpenedImage image = open_image(bytes).value();
  Frames first = image.decode().value();
  const auto pixels = first.pixels;
  EXPECT_EQ(image.decode(std::move(first)).value().pixels, pixels) << "into recycled memory";
}

TEST(Image, HugeHeaderIsRefusedBeforeAllocating) {
  const std::string message = message_of(read_golden_image("png_header_100000x100000.png"));
  EXPECT_THAT(message, HasSubstr("100000 x 100000 = 10000000000 pixels"));
  EXPECT_THAT(message, HasSubstr("the limit is 536870912"));
}

TEST(Image, PixelLimitIsExact) {
  const auto bytes = read_golden_image("jpeg_420_64x33.jpg");
  EXPECT_TRUE(decode_image(bytes, {.max_pixels = 64 * 33}).ok());
  EXPECT_FALSE(decode_image(bytes, {.max_pixels = 64 * 33 - 1}).ok());
  EXPECT_FALSE(open_image(bytes, {.max_pixels = 64 * 33 - 1}).ok());
}

TEST(Image, OrientationCanBeIgnored) {
  const auto upright = decode_image(read_golden_image("exif_1.jpg"));
  const auto turned = decode_image(read_golden_image("exif_6.jpg"));
  const auto stored =
      decode_image(read_golden_image("exif_6.jpg"), {.exif_orientation = ExifOrientation::kIgnore});
  ASSERT_TRUE(upright.ok() && turned.ok() && stored.ok());
  EXPECT_EQ(turned->height, upright->width);
  EXPECT_EQ(stored->pixels, upright->pixels);
  EXPECT_NE(turned->pixels, upright->pixels);
}

TEST(Image, SixteenBitGrayKeepsItsHighByte) {
  // Pillow would make 255 of everything above 255.
  const auto frames = decode_image(read_golden_image("png_gray16.png"));
  ASSERT_TRUE(frames.ok());
  const std::set<std::uint8_t> levels(frames->pixels.begin(), frames->pixels.end());
  EXPECT_GT(levels.size(), 50U);
}

TEST(Image, DamagedBytesNeverDoWorseThanARefusal) {
  for (const char* name :
       {"jpeg_420_progressive_75x53.jpg", "jpeg_cmyk.jpg", "jpeg_restart.jpg", "exif_6.jpg",
        "png_palette4_trns.png", "png_interlaced_rgba16.png", "png_raw_profile_7.png",
        "webp_animated_rgba.webp", "webp_exif_5.webp", "webp_lossless_alpha.webp"}) {
    const auto original = read_golden_image(name);
    for (std::uint64_t round = 0; round < 300; ++round) {
      auto bytes = original;
      for (std::uint64_t k = 0; k <= round % 4; ++k) {
        const std::uint64_t bits = random_bits(fnv1a64(name), round * 8 + k);
        // Mostly in the first bytes, where the structure is.
        const std::uint64_t range =
            bits % 3 == 0 ? bytes.size() : std::min<std::uint64_t>(bytes.size(), 200);
        bytes[(bits >> 16) % range] = static_cast<std::byte>(bits >> 8);
      }
      const auto frames = decode_image(bytes, {.max_pixels = 1 << 22});
      if (frames.ok()) {
        const ImageSize size = open_image(bytes, {.max_pixels = 1 << 22}).value().size();
        ASSERT_EQ(std::ssize(frames->pixels), size.pixels() * 3);
      } else {
        ASSERT_FALSE(frames.error().message.empty());
      }
    }
  }
}

}  // namespace
}  // namespace retinue::runtime
