#pragma once

#include "parallel/comm/communicator.h"
#include "runtime/dataset/item_table.h"
#include "runtime/dataset/parquet_items.h"
#include "runtime/dataset/source.h"
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
  ItemTable items;                            ///< in the order in which they are dealt
  std::shared_ptr<OpenTables> tables = std::make_shared<OpenTables>();  ///< that items lie in
  std::vector<std::uint8_t> open;  ///< rank 0: per item 1 where this run has to do it
  std::int64_t open_count = 0;
  std::int64_t done_before = 0;
  std::int64_t failed_before = 0;
  std::int64_t quarantined = 0;  ///< rank 0: of those, set aside for what they did to ranks
  int epoch = 0;
  std::set<std::int64_t> attributed = {};  ///< open items that killed a rank once
  std::set<std::int64_t> suspects = {};  ///< open items one of which killed a rank, or several did
  double launched_s = 0;                 ///< by the session's clock
  StartUp start_up = {};                 ///< of this rank's replica

  /// An item as this job shows it: the table's, but for --ablation text-only.
  [[nodiscard]] Item item(std::size_t index) const;
  /// What comes out is no caption of what was shown: --ablation made it so.
  [[nodiscard]] bool is_garbled() const;
  /// More failed items than this stop the job.
  [[nodiscard]] std::int64_t failures_allowed() const;
};

/// Options checked and files read, alike on every rank; items are still missing.
/// Throws: UsageError.
CaptionJob prepare_caption(const CaptionOptions& options);

SourceOptions source_options(const CaptionOptions& options);

/// What decides the records: it may not change while a folder lives.
nlohmann::ordered_json signature_of(const CaptionJob& job);

/// Sampling as job.json and `retinue check` show it.
nlohmann::ordered_json to_json(const Sampling& sampling);

}  // namespace retinue::runtime
