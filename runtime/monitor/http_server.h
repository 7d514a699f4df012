#pragma once

#include "runtime/monitor/http_address.h"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace retinue::runtime {

struct HttpResponse {
  int status = 200;
  std::string_view content_type = "text/plain; charset=utf-8";
  std::shared_ptr<const std::string> body;  ///< null: empty. Shared: answers are made once for many
  /// What the page may load. The default: nothing.
  std::string policy = "default-src 'none'";
};

/// What one client, and all of them together, may take.
struct HttpLimits {
  std::size_t connections = 32;     ///< beyond, the one idle for longest goes; else 503
  std::size_t header_bytes = 8192;  ///< of a request
  std::size_t target_bytes = 1024;
  int requests_per_connection = 100;
  double request_s = 5;  ///< from its first byte to the end of its header
  double idle_s = 15;    ///< until the next first byte
  double write_s = 5;    ///< until an answer is taken
  /// Connections taken and requests answered, together. Beyond, they wait: whatever is asked, the
  /// server costs the machine no more than this.
  double pace_per_s = 300;
  double burst = 200;
};

/// Serves GET and HEAD over HTTP/1.1, to read from and never to change anything, on one thread of
/// low priority. It trusts no client: headers, time, connections and pace are bounded, bodies are
/// refused, and nothing waits for it. Refusals: 400, 405, 408, 413, 414, 421 (a loopback server
/// asked by another name: DNS rebinding), 431, 503 and 505.
class HttpServer {
 public:
  /// Answers a path ("/status"), on the server's thread. What it throws becomes a 500.
  using Handler = std::function<HttpResponse(std::string_view path)>;

  /// Listens when it returns.
  /// Throws: UsageError where the address is none of this machine or is taken.
  HttpServer(const HttpAddress& address, Handler handler, const HttpLimits& limits = {});
  ~HttpServer();

  /// With the port that was taken.
  [[nodiscard]] const HttpAddress& address() const { return address_; }
  [[nodiscard]] std::string url() const { return "http://" + to_string(address_) + "/"; }

  /// Since the start. Any thread may read them.
  struct Counters {
    static constexpr std::array kStatuses = {200, 400, 404, 405, 408, 413,
                                             414, 421, 431, 500, 503, 505};
    std::array<std::atomic<std::int64_t>, kStatuses.size()> responses{};  ///< of each of these
    std::atomic<std::int64_t> connections{};  ///< taken, those refused included
    std::atomic<std::int64_t> open{};         ///< now
    std::atomic<std::int64_t> cut{};          ///< closed before their answer was taken
    std::atomic<std::int64_t> sent_bytes{};
  };
  [[nodiscard]] const Counters& counters() const { return counters_; }

 private:
  class Loop;
  class Connection;

  HttpAddress address_;
  Counters counters_;
  std::unique_ptr<Loop> loop_;  // last: its thread uses all of the above
};

}  // namespace retinue::runtime
