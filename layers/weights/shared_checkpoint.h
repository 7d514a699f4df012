#pragma once

#include "layers/weights/weight_source.h"
#include "parallel/comm/communicator.h"

#include <cstdint>
#include <string>

namespace retinue::layers {

/// A checkpoint that ranks read together. One rank reads each wanted row, in stripes in the order
/// of the files, and sends the parts to the ranks that want them; a rank gets bit for bit what it
/// would have read itself. While ranks exchange stripes, they read the next ones. At first every
/// rank reads 256 bytes of each tensor, so that ranks with different checkpoints stop.
/// Memory per rank: a few stripes of at most 4 MiB, for any checkpoint and number of ranks.
class SharedCheckpointSource final : public CheckpointSource {
 public:
  /// `readers`, in host memory, outlives it: the ranks that load at the same time, replicas
  /// included; each with a checkpoint of the same contents under `model_dir`.
  SharedCheckpointSource(const std::string& model_dir, Communicator& readers)
      : CheckpointSource(model_dir), readers_(readers) {}

  /// Collective over the readers; true.
  /// Throws: UsageError on all where headers or samples differ, naming the first such tensor;
  ///         SystemError naming file and tensor on a rank that cannot read, and on its peers as
  ///         Communicator throws when a peer is lost.
  bool deliver(Context& ctx, MemoryLedger& ledger, std::span<const WeightNeed> needs,
               const PlaceRows& place) override;

 private:
  Communicator& readers_;
};

}  // namespace retinue::layers
