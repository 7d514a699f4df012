#include "runtime/dataset/file_kind.h"

#include "tests/support/temporary_folder.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace retinue::runtime {
namespace {

/// MPEG-TS: packets of 188 bytes; on a disc, of 192.
std::string transport_stream(std::size_t packet) {
  std::string bytes(3 * packet, '\xB8');
  for (std::size_t at = packet - 188; at < bytes.size(); at += packet) bytes[at] = 0x47;
  return bytes;
}

TEST(FileKind, NamesOfImagesAndVideosAreKnownInAnyCase) {
  for (const char* name :
       {"a.heif", "a.HEIC", "a.avif", "a.avifs", "a.jp2", "a.j2k", "a.jxl",  "a.jxr", "a.bpg",
        "a.cr2",  "a.CR3",  "a.nef",  "a.dng",   "a.arw", "a.tif", "a.tiff", "a.ppm", "a.pgm",
        "a.pbm",  "a.pnm",  "a.tga",  "a.qoi",   "a.psd", "a.ico", "a.svg",  "a.exr", "a.b.jpg"})
    EXPECT_EQ(media_kind_of_name(name), MediaKind::kImage) << name;
  for (const char* name :
       {"a.mpg", "a.mpeg", "a.m1v", "a.m2v",  "a.wmv",  "a.asf",  "a.flv", "a.m2ts", "a.vob",
        "a.ogv", "a.qt",   "a.dv",  "a.h264", "a.h265", "a.hevc", "a.y4m", "a.3gp",  "a.3g2",
        "a.rm",  "a.rmvb", "a.f4v", "a.mxf",  "a.divx", "a.GIF",  "a.mj2"})
    EXPECT_EQ(media_kind_of_name(name), MediaKind::kVideo) << name;
  for (const char* name : {"a", "a.", ".jpg", "jpg", "a.txt", "a.json", "a.pdf", "a.jpg.txt", ""})
    EXPECT_EQ(media_kind_of_name(name), std::nullopt) << name;
}

TEST(FileKind, TextMakesTypeScriptOfAnAmbiguousNameAndNothingElseDoes) {
  const std::string script = "export const size = 3; // caf\xC3\xA9\n";
  for (const char* name : {"a.ts", "a.mts", "a.hdr"}) {
    EXPECT_TRUE(is_shared_name(name));
    EXPECT_EQ(media_kind_of(name, script), std::nullopt) << name;
    EXPECT_NE(media_kind_of(name, std::string("\0\x01\x02", 3)), std::nullopt) << name;
    EXPECT_NE(media_kind_of(name, ""), std::nullopt) << "an empty video fails as an item";
  }
  EXPECT_EQ(media_kind_of("a.wmv", script), MediaKind::kVideo) << "fails as an item";
}

TEST(FileKind, ATransportStreamIsAVideoUnderAnyName) {
  for (const char* name : {"a.ts", "a.mts", "a.dat", "a"})
    for (const std::size_t packet : {188U, 192U})
      EXPECT_EQ(media_kind_of(name, transport_stream(packet)), MediaKind::kVideo) << name;
}

TEST(FileKind, IsThatOfTheFirstBytesOfARegularFile) {
  const test::TemporaryFolder folder;
  folder.write("a.png", transport_stream(188));
  EXPECT_EQ(kind_of_file(folder.path("a.png")), FileKind::kVideo);
  EXPECT_EQ(head_of_file(folder.path("a.png")).size(), kHeadBytes);
  EXPECT_EQ(head_of_file(folder.path("missing")), "");
  EXPECT_EQ(head_of_file(folder.path()), "");
}

}  // namespace
}  // namespace retinue::runtime
