#pragma once
// Tested through tests/runtime/monitor/monitor_test.cpp.

#include "runtime/monitor/http_server.h"
#include "runtime/status/job_status.h"

#include <string>

namespace retinue::runtime {

/// The answer of /metrics: the numbers of `status` and the server's own, in Prometheus' text
/// format. `status` is null until the job publishes one.
std::string metrics_of(const JobStatus* status, const HttpServer::Counters& server);

}  // namespace retinue::runtime
