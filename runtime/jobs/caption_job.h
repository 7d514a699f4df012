#pragma once

#include "parallel/comm/communicator.h"
#include "runtime/input/item_table.h"
#include "runtime/input/parquet_items.h"
#include "runtime/input/source.h"
#include "runtime/jobs/model_files.h"
#include "runtime/jobs/options.h"
#include "runtime/jobs/question_queue.h"

#include <nlohmann/json_fwd.hpp>

#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

namespace retinue::runtime {

/// A caption job as every rank knows it.
struct CaptionJob {
  CaptionOptions options;
  ModelFiles model;
  Sampling sampling;
  JobPrompt prompt;
  ItemTable items;  ///< in the order in which they are dealt
  std::shared_ptr<OpenTables> tables = std::make_shared<OpenTables>();  ///< that items lie in
  std::vector<std::uint8_t> open;  ///< per item: 1 where this run has to do it
  std::int64_t done_before = 0;
  std::int64_t failed_before = 0;
  int epoch = 0;

  /// More failed items than this stop the job.
  [[nodiscard]] std::int64_t failures_allowed() const;
  /// Gives the open items of replica `index` of `replicas` one by one. The job outlives it.
  [[nodiscard]] NextItem dealt_to(int index, int replicas) const;
};

/// Options checked and files read, alike on every rank; items are still missing.
/// Throws: UsageError.
CaptionJob prepare_caption(const CaptionOptions& options);

SourceOptions source_options(const CaptionOptions& options);

/// What decides the records: it may not change while a folder lives.
nlohmann::ordered_json question_of(const CaptionJob& job);

/// Sampling as job.json and `retinue check` show it.
nlohmann::ordered_json to_json(const Sampling& sampling);

}  // namespace retinue::runtime
