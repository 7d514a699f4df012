#include "runtime/media/exif.h"

#include "parallel/base/rng.h"
#include "tests/runtime/media/image_golden.h"

#include <gtest/gtest.h>

#include <string>

namespace retinue::runtime {
namespace {

/// Builds TIFF blocks, byte by byte.
class Tiff {
 public:
  explicit Tiff(bool big_endian) : big_endian_(big_endian) {
    text_ = big_endian ? "MM" : "II";
    put(42, 2);
    put(8, 4);
  }
  Tiff& put(std::uint32_t value, int size) {
    for (int i = 0; i < size; ++i)
      text_ += static_cast<char>(value >> 8 * (big_endian_ ? size - 1 - i : i));
    return *this;
  }
  Tiff& entry(std::uint32_t tag, std::uint32_t type, std::uint32_t count, std::uint32_t value) {
    put(tag, 2).put(type, 2).put(count, 4);
    if (type != 3) return put(value, 4);
    return put(value, 2).put(0, 2);
  }
  [[nodiscard]] std::string text() const { return text_; }
  [[nodiscard]] int orientation() const { return orientation_of(text_); }
  static int orientation_of(const std::string& text) {
    return exif_orientation(std::as_bytes(std::span(text)));
  }

 private:
  bool big_endian_;
  std::string text_;
};

TEST(Exif, BothByteOrders) {
  for (const bool big_endian : {false, true})
    for (std::uint32_t value = 1; value <= 8; ++value)
      EXPECT_EQ(
          Tiff(big_endian).put(2, 2).entry(0x100, 4, 1, 99).entry(0x112, 3, 1, value).orientation(),
          value);
}

TEST(Exif, LongIntegersAndSeveralValuesAreRead) {
  EXPECT_EQ(Tiff(false).put(1, 2).entry(0x112, 4, 1, 6).orientation(), 6);
  EXPECT_EQ(Tiff(true).put(1, 2).entry(0x112, 3, 2, 6).orientation(), 6);
  // Three shorts do not fit the entry and lie elsewhere: here right after it.
  EXPECT_EQ(Tiff(true).put(1, 2).entry(0x112, 4, 3, 26).put(8, 4).orientation(), 0) << "cut off";
}

TEST(Exif, UnusableValuesMeanUpright) {
  EXPECT_EQ(Tiff(false).put(1, 2).entry(0x112, 3, 1, 0).orientation(), 1);
  EXPECT_EQ(Tiff(false).put(1, 2).entry(0x112, 3, 1, 9).orientation(), 1);
  EXPECT_EQ(Tiff(false).put(1, 2).entry(0x112, 1, 1, 6).orientation(), 0)
      << "bytes are no integer type here";
  EXPECT_EQ(Tiff(false).put(1, 2).entry(0x112, 3, 0, 6).orientation(), 0);
  EXPECT_EQ(Tiff(false).put(1, 2).entry(0x111, 3, 1, 6).orientation(), 0);
}

TEST(Exif, HostileOffsetsAndCountsAreHarmless) {
  EXPECT_EQ(Tiff(false).put(65535, 2).entry(0x112, 3, 1, 6).orientation(), 6)
      << "count beyond the block";
  EXPECT_EQ(Tiff(false).put(1, 2).entry(0x112, 3, 0xFFFFFFFF, 0xFFFF).orientation(), 0);
  EXPECT_EQ(Tiff(false).put(1, 2).entry(0x112, 4, 0x40000000, 0xFFFFFFFF).orientation(), 0);
  for (const std::uint32_t offset : {0U, 1U, 7U, 100U, 0x7FFFFFFFU, 0xFFFFFFFEU, 0xFFFFFFFFU}) {
    std::string text = "II*";
    text += '\0';
    for (int i = 0; i < 4; ++i) text += static_cast<char>(offset >> 8 * i);
    EXPECT_EQ(Tiff::orientation_of(text + std::string(20, '\0')), 0) << offset;
  }
  // A directory that names itself as the next one: only the first is walked.
  EXPECT_EQ(Tiff(true).put(1, 2).entry(0x8769, 4, 1, 8).put(8, 4).orientation(), 0);
}

TEST(Exif, EveryCutAndManyDamagesAreHarmless) {
  const std::string whole = Tiff(true)
                                .put(3, 2)
                                .entry(0x100, 4, 1, 1)
                                .entry(0x112, 3, 1, 6)
                                .entry(0x8769, 4, 1, 8)
                                .put(8, 4)
                                .text();
  for (std::size_t length = 0; length <= whole.size(); ++length) {
    const int orientation = Tiff::orientation_of(std::string(whole, 0, length));
    EXPECT_EQ(orientation, length >= 34 ? 6 : 0) << length;
  }
  for (std::uint64_t i = 0; i < 20000; ++i) {
    std::string text = whole;
    const std::uint64_t bits = random_bits(5, i);
    text[bits % text.size()] = static_cast<char>(bits >> 32);
    text[(bits >> 8) % text.size()] = static_cast<char>(bits >> 40);
    const int orientation = Tiff::orientation_of(text);
    ASSERT_TRUE(orientation >= 0 && orientation <= 8);
  }
}

TEST(Exif, FilesOfEveryKindHaveTheirOrientation) {
  for (const auto& [name, orientation] : {std::pair{"exif_7.jpg", 7},
                                          {"exif_none_xmp_6.jpg", 6},
                                          {"exif_3_xmp_6.jpg", 3},
                                          {"exif_two_segments.jpg", 6},
                                          {"png_exif_6.png", 6},
                                          {"png_exif_5_after_pixels.png", 5},
                                          {"png_xmp_8.png", 8},
                                          {"png_raw_profile_7.png", 7},
                                          {"webp_exif_5.webp", 5},
                                          {"webp_exif_6_bare.webp", 6},
                                          {"webp_xmp_3.webp", 3},
                                          {"png_rgb8.png", 1}}) {
    const auto bytes = read_golden_image(name);
    EXPECT_EQ(image_orientation(bytes, image_kind(bytes)), orientation) << name;
  }
}

Frames letters(const std::vector<std::string>& rows) {
  Frames frames{.pixels = {},
                .frames = 1,
                .height = std::ssize(rows),
                .width = std::ssize(rows[0]),
                .timestamps_s = {}};
  for (const std::string& row : rows)
    for (const char c : row)
      for (int channel = 0; channel < 3; ++channel)
        frames.pixels.push_back(static_cast<std::uint8_t>(c + channel * 64));
  return frames;
}

std::string as_text(const Frames& frames) {
  std::string text;
  for (std::size_t i = 0; i < frames.pixels.size(); i += 3) {
    if (i > 0 && i / 3 % static_cast<std::size_t>(frames.width) == 0) text += '/';
    EXPECT_EQ(frames.pixels[i + 2], static_cast<std::uint8_t>(frames.pixels[i] + 128));
    text += static_cast<char>(frames.pixels[i]);
  }
  return text;
}

TEST(Orientation, TurnsAndMirrorsAsTheStandardDefines) {
  const std::vector<std::string> wanted = {"ABC/DEF",  "CBA/FED",  "FED/CBA",  "DEF/ABC",
                                           "AD/BE/CF", "DA/EB/FC", "FC/EB/DA", "CF/BE/AD"};
  for (int orientation = 1; orientation <= 8; ++orientation) {
    Frames frames = letters({"ABC", "DEF"});
    apply_orientation(frames, orientation);
    EXPECT_EQ(as_text(frames), wanted[static_cast<std::size_t>(orientation - 1)]) << orientation;
    EXPECT_EQ(oriented_size({.height = 2, .width = 3}, orientation),
              (ImageSize{.height = frames.height, .width = frames.width}));
  }
}

TEST(Orientation, OppositesUndoEachOtherAlsoPastATile) {
  Frames original{.pixels = random_bytes(3, 2 * 130 * 71 * 3),
                  .frames = 2,
                  .height = 130,
                  .width = 71,
                  .timestamps_s = {}};
  const int inverse[] = {0, 1, 2, 3, 4, 5, 8, 7, 6};
  for (int orientation = 1; orientation <= 8; ++orientation) {
    Frames frames = original;
    apply_orientation(frames, orientation);
    apply_orientation(frames, inverse[orientation]);
    EXPECT_EQ(frames.pixels, original.pixels) << orientation;
    EXPECT_EQ(frames.height, original.height);
  }
}

}  // namespace
}  // namespace retinue::runtime
