#include "parallel/mesh/mesh.h"

#include "parallel/base/check.h"
#include "tests/support/rank_values.h"
#include "tests/support/ranks.h"

#include <gtest/gtest.h>

namespace retinue {
namespace {

TEST(MeshShape, CutsTheWorldIntoReplicas) {
  EXPECT_EQ(mesh_shape(8, 2), (MeshShape{.data = 4, .tensor = 2}));
  EXPECT_EQ(mesh_shape(1, 1), (MeshShape{.data = 1, .tensor = 1}));
  EXPECT_EQ(mesh_shape(3, 3), (MeshShape{.data = 1, .tensor = 3}));
}

TEST(MeshShape, RefusesLeftoversWithAnAnswer) {
  try {
    mesh_shape(12, 8);
    FAIL();
  } catch (const UsageError& error) {
    EXPECT_STREQ(error.what(),
                 "[mesh] 12 ranks cannot be cut into replicas of 8: 4 would be left over. Use one "
                 "of 1, 2, 4 (--tensor-parallel) or start a multiple of 8 ranks (--ranks).");
  }
  EXPECT_THROW(mesh_shape(0, 1), UsageError);
  EXPECT_THROW(mesh_shape(4, 0), UsageError);
  EXPECT_THROW(mesh_shape(4, -2), UsageError);
}

TEST(MeshShape, KnowsWhenAReplicaSpansHosts) {
  EXPECT_TRUE(tensor_stays_on_node({.data = 4, .tensor = 2}, 8));
  EXPECT_TRUE(tensor_stays_on_node({.data = 1, .tensor = 8}, 8));
  EXPECT_FALSE(tensor_stays_on_node({.data = 1, .tensor = 8}, 4));
  EXPECT_FALSE(tensor_stays_on_node({.data = 3, .tensor = 2}, 3));
}

class MeshOnRanks : public testing::TestWithParam<test::RankGroup> {};

TEST_P(MeshOnRanks, AxesHoldTheRanksTheyShould) {
  test::on_ranks(GetParam(), [](Communicator& world) {
    const Stream stream{Device{}};
    for (int tensor = 1; tensor <= world.size(); tensor *= 2) {
      if (world.size() % tensor != 0) continue;
      const Mesh mesh(world, mesh_shape(world.size(), tensor));
      EXPECT_EQ(mesh.data_index() * tensor + mesh.tensor_index(), world.rank());
      EXPECT_EQ(mesh.tensor().rank(), mesh.tensor_index());
      EXPECT_EQ(mesh.tensor().size(), tensor);
      EXPECT_EQ(mesh.data().rank(), mesh.data_index());
      EXPECT_EQ(mesh.data().size(), world.size() / tensor);
      EXPECT_EQ(mesh.tensor().label(), "tensor");
      EXPECT_EQ(mesh.data().label(), mesh.is_leader() ? "leaders" : "data");
      EXPECT_EQ(mesh.is_coordinator(), world.rank() == 0);
      EXPECT_EQ(mesh.place(), "dp" + std::to_string(mesh.data_index()) + ".tp" +
                                  std::to_string(mesh.tensor_index()));
      // The sum of world ranks shows which ranks are in a group.
      std::vector<float> replica{static_cast<float>(world.rank())}, column = replica;
      mesh.tensor().all_reduce(stream, test::view_of(replica));
      mesh.data().all_reduce(stream, test::view_of(column));
      float replica_sum = 0, column_sum = 0;
      for (int rank = 0; rank < world.size(); ++rank) {
        if (rank / tensor == mesh.data_index()) replica_sum += static_cast<float>(rank);
        if (rank % tensor == mesh.tensor_index()) column_sum += static_cast<float>(rank);
      }
      EXPECT_EQ(replica[0], replica_sum);
      EXPECT_EQ(column[0], column_sum);
      if (mesh.is_leader())
        EXPECT_EQ(&mesh.leaders(), &mesh.data());
      else
        EXPECT_THROW((void)mesh.leaders(), BugError);
    }
    EXPECT_THROW(Mesh(world, {.data = world.size(), .tensor = 2}), BugError);
    world.barrier();
  });
}

INSTANTIATE_TEST_SUITE_P(Ranks, MeshOnRanks, testing::ValuesIn(test::rank_groups()),
                         [](const auto& instance) { return instance.param.name; });

}  // namespace
}  // namespace retinue
