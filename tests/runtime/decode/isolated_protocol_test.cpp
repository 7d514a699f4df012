#include "runtime/decode/isolated_protocol.h"

#include <gtest/gtest.h>

#include <limits>
#include <span>
#include <string>
#include <string_view>

namespace retinue::runtime {
namespace {

TEST(IsolatedProtocol, RefusesRequestsThatAreCutOrLong) {
  DecodeRequest request;
  request.media = {MediaKind::kVideo, {"a", "bc"}, 2.5};
  request.file_bytes = {3, 5};
  const std::string packed = pack_request(request);
  const auto back = unpack_request(packed);
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(back->media.files[1].path, "bc");
  EXPECT_EQ(back->media.fps, 2.5);
  EXPECT_EQ(back->file_bytes, request.file_bytes);
  for (std::size_t bytes = 0; bytes < packed.size(); ++bytes)
    EXPECT_FALSE(unpack_request(std::string_view(packed).substr(0, bytes)).has_value()) << bytes;
  EXPECT_FALSE(unpack_request(packed + "x").has_value());
}

TEST(IsolatedProtocol, RefusesTimesThatAreNotFinite) {
  const Asked asked{.kind = MediaKind::kVideo, .memory_bytes = 1 << 30};
  const AnswerHead head{.kind = AnswerKind::kHeader,
                        .body_bytes = 8,
                        .grid_thw = {1, 2, 2},
                        .size = {32, 32},
                        .frames = 2};
  EXPECT_EQ(validation_error(head, asked), "");
  const double nan = std::numeric_limits<double>::quiet_NaN(), time = 0.5;
  EXPECT_FALSE(read_header_answer(head, asked, std::as_bytes(std::span(&nan, 1))).has_value());
  EXPECT_TRUE(read_header_answer(head, asked, std::as_bytes(std::span(&time, 1))).has_value());
}

}  // namespace
}  // namespace retinue::runtime
