#pragma once
// Tested through tests/runtime/jobs/caption/caption_test.cpp.

#include "parallel/comm/communicator.h"
#include "runtime/dataset/item_table.h"
#include "runtime/dataset/source.h"
#include "runtime/dataset/table/parquet_items.h"
#include "runtime/jobs/model_files.h"
#include "runtime/jobs/options.h"
#include "runtime/jobs/prepared_request.h"
#include "runtime/status/start_up.h"

#include <nlohmann/json_fwd.hpp>

#include <cstdint>
#include <limits>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace retinue::runtime {

/// A caption job as every rank knows it.
struct CaptionJob {
  CaptionOptions options;
  ModelFiles model;
  Sampling sampling;
  JobPrompt prompt;
  std::shared_ptr<IsolatedDecoder> isolated;  ///< --isolate-decode; null: this process decodes
  ItemTable items;                            ///< in the order in which replicas claim them
  std::shared_ptr<OpenTables> tables = std::make_shared<OpenTables>();  ///< that hold the items
  std::vector<std::uint8_t> open;  ///< rank 0, per item: 1 where this run has to do it
  std::int64_t open_count = 0;
  std::int64_t done_before = 0;
  std::int64_t failed_before = 0;
  std::int64_t quarantined = 0;  ///< rank 0: failed items that are set aside for crashing ranks
  int epoch = 0;
  /// Open items to which a crash is attributed: each runs alone.
  std::set<std::int64_t> attributed_items = {};
  /// Open items among which at least one crashed a rank: they run first, by bisection.
  std::set<std::int64_t> suspect_items = {};
  double launched_s = 0;  ///< by the session's clock
  StartUp start_up = {};  ///< of this rank's replica

  /// More failed items than this stop the job.
  [[nodiscard]] std::int64_t failures_allowed() const;
};

/// Checks the options and reads the model's files, alike on every rank. The items are still
/// missing. Throws: UsageError.
CaptionJob prepare_caption(const CaptionOptions& options);

SourceOptions source_options(const CaptionOptions& options);

/// The job signature: all that decides the records. It is the same for every run in one folder.
nlohmann::ordered_json signature_of(const CaptionJob& job);

/// Sampling as job.json and `retinue check` show it.
nlohmann::ordered_json to_json(const Sampling& sampling);

}  // namespace retinue::runtime
