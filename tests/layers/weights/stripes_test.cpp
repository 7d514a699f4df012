#include "layers/weights/stripes.h"

#include "parallel/base/rng.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

namespace retinue::layers {
namespace {

TEST(Stripes, CoverEveryWantedRowOnceInOrderAndWithinTheirSize) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    std::uint64_t draws = 0;
    const auto draw = [&](std::int64_t below) {
      return static_cast<std::int64_t>(random_bits(seed, draws++) %
                                       static_cast<std::uint64_t>(below));
    };
    std::vector<StoredMatrix> tensors;
    for (std::int64_t t = draw(6) + 1; t > 0; --t)
      tensors.push_back({draw(20) + 1, draw(30) + 1, draw(2) == 0 ? 2 : 4});
    std::vector<Wanted> kinds(static_cast<std::size_t>(draw(3) + 1));
    std::vector<std::vector<int>> wanted_rows, got_rows;
    for (const StoredMatrix& tensor : tensors) {
      wanted_rows.emplace_back(tensor.rows);
      got_rows.emplace_back(tensor.rows);
    }
    for (Wanted& kind : kinds) {
      kind.resize(tensors.size());
      for (std::size_t t = 0; t < tensors.size(); ++t) {
        const std::int64_t first = draw(tensors[t].rows);
        const std::int64_t rows = draw(tensors[t].rows - first + 1);
        kind[t].push_back({first, rows, 0, tensors[t].columns});
        for (std::int64_t row = first; row < first + rows; ++row)
          wanted_rows[t][static_cast<std::size_t>(row)] = 1;
      }
    }
    const std::int64_t most = draw(400) + 1;
    std::pair<std::int64_t, std::int64_t> last{-1, -1};
    for (const Stripe& stripe : cut_stripes(tensors, kinds, most)) {
      std::int64_t bytes = 0;
      for (const Segment& segment : stripe.segments) {
        const std::pair at{segment.tensor, segment.first_row};
        EXPECT_LT(last, at);
        last = at;
        const auto t = static_cast<std::size_t>(segment.tensor);
        bytes += segment.rows * tensors[t].row_bytes();
        for (std::int64_t row = 0; row < segment.rows; ++row)
          ++got_rows[t][static_cast<std::size_t>(segment.first_row + row)];
      }
      EXPECT_EQ(bytes, stripe.bytes);
      EXPECT_TRUE(bytes <= most || (stripe.segments.size() == 1 && stripe.segments[0].rows == 1));
    }
    EXPECT_EQ(got_rows, wanted_rows) << seed;
  }
}

TEST(Stripes, AChunkHasEachWantedElementOnce) {
  const std::vector<StoredMatrix> tensors = {{10, 4, 2}, {3, 7, 4}};
  const Wanted wanted = {{{2, 6, 1, 2}, {0, 10, 0, 4}}, {{0, 3, 5, 2}}};
  std::int64_t bytes = 0;
  for (const Stripe& stripe : cut_stripes(tensors, std::span(&wanted, 1), 24))
    bytes += chunk_bytes(tensors, stripe, wanted);
  EXPECT_EQ(bytes, 6 * 2 * 2 + 10 * 4 * 2 + 3 * 2 * 4);
}

}  // namespace
}  // namespace retinue::layers
