#pragma once
// Tested through tests/runtime/jobs/caption/caption_test.cpp.

#include "parallel/mesh/mesh.h"
#include "runtime/decode/prefetcher.h"
#include "runtime/engine/engine.h"
#include "runtime/failure/bisection.h"
#include "runtime/jobs/caption/caption_job.h"
#include "runtime/jobs/caption/coordinator_link.h"
#include "runtime/jobs/caption/record_writer.h"
#include "runtime/jobs/caption/request_queue.h"
#include "runtime/jobs/job.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>

namespace retinue::runtime {

/// Reads an item by its index.
using ItemReader = std::function<Item(std::size_t index)>;
/// Prepares a request: reads the item's files, builds its prompt. `job` outlives it.
RequestQueue::Make request_maker(const CaptionJob& job, ItemReader items);

/// Keeps the engine's window filled: claims items from rank 0, has their requests prepared on other
/// threads, submits them in order. Items under suspicion of a crash come first, in the groups of
/// the bisection. One leader uses it, between steps of its engine; no call waits.
class RequestPump {
 public:
  /// Called for an item that the engine never had: its request cannot be prepared, or is refused.
  using OnFailure = std::function<void(std::size_t item, const DataError& error)>;
  struct Parts {
    const Session& session;
    const Mesh& mesh;
    const CaptionJob& job;
    Engine& engine;
    Prefetcher& prefetcher;
    CoordinatorLink& link;
    std::int64_t window;      ///< requests that the engine may have at once
    RequestQueue::Make make;  ///< any number of threads
    OnFailure on_failure;
  };

  /// Everything that `parts` names outlives it.
  explicit RequestPump(Parts parts);

  /// Fills the window. Drains the engine once no item is left to come.
  void fill();
  /// Submits nothing more; what is in flight goes on.
  void stop();

  /// Forgets the files of an item that has ended, with `media` images and videos. Returns the state
  /// of its request; nothing where the engine never had it.
  std::optional<InFlight> release(std::size_t item, std::size_t media);

  /// Items that wait to be prepared or submitted.
  [[nodiscard]] std::int64_t waiting() { return requests_.waiting(); }
  [[nodiscard]] RequestQueue::Times times() { return requests_.times(); }

 private:
  void claim_items();
  void submit(RequestQueue::Entry entry);

  Parts parts_;
  Bisection bisection_;
  std::int64_t left_;  ///< items without a replica, when rank 0 last answered
  bool stopped_ = false, drained_ = false;
  std::map<std::uint64_t, InFlight> in_flight_;  ///< by item
  RequestQueue requests_;                        // last: its threads use the parts
};

}  // namespace retinue::runtime
