#pragma once
// Tested through tests/runtime/monitor/monitor_test.cpp.

#include "runtime/monitor/http_server.h"
#include "runtime/status/job_status.h"

#include <string>

namespace retinue::runtime {

/// What /metrics answers: the numbers of `status` and what the server itself has done, in
/// Prometheus' text format. `status` null: nothing is known yet.
std::string metrics_of(const JobStatus* status, const HttpServer::Counters& server);

}  // namespace retinue::runtime
