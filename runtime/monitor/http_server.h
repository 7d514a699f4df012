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
  std::shared_ptr<const std::string>
      body;  ///< null: empty. Shared, so that one serves many clients
  /// Content-Security-Policy: what the page may load. By default nothing.
  std::string policy = "default-src 'none'";
};

/// The limits of one client, and of all together.
struct HttpLimits {
  std::size_t connections = 32;     ///< one more closes the longest idle one, or gets a 503
  std::size_t header_bytes = 8192;  ///< per request
  std::size_t target_bytes = 1024;
  int requests_per_connection = 100;
  double request_s = 5;  ///< limit from the first byte to the end of the header
  double idle_s = 15;    ///< until the next first byte
  double write_s = 5;    ///< until the client has received an answer
  /// New connections and answers together; more of them wait. It bounds the server's cost whatever
  /// the clients do.
  double pace_per_s = 300;
  double burst = 200;
  int nice = 19;  ///< priority of the thread: the job comes first
};

/// Serves GET and HEAD over HTTP/1.1, read-only, on one thread of low priority. It trusts no
/// client: headers, time, connections and pace are bounded, bodies are refused. No other thread
/// waits for it. Refusals: 400, 405, 408, 413, 414, 421 (another host name at a loopback server:
/// DNS rebinding), 431, 503 and 505.
class HttpServer {
 public:
  /// Answers a path ("/status") on the server's thread. An exception becomes a 500.
  using Handler = std::function<HttpResponse(std::string_view path)>;

  /// The server listens when the constructor returns.
  /// Throws: UsageError when the address is not this machine's or is in use.
  HttpServer(const HttpAddress& address, Handler handler, const HttpLimits& limits = {});
  ~HttpServer();

  /// With the port that it listens at.
  [[nodiscard]] const HttpAddress& address() const { return address_; }
  [[nodiscard]] std::string url() const { return "http://" + to_string(address_) + "/"; }

  /// Since the start. Any thread may read them.
  struct Counters {
    static constexpr std::array kStatuses = {200, 400, 404, 405, 408, 413,
                                             414, 421, 431, 500, 503, 505};
    std::array<std::atomic<std::int64_t>, kStatuses.size()>
        responses{};                          ///< in the order of kStatuses
    std::atomic<std::int64_t> connections{};  ///< accepted, with refused ones
    std::atomic<std::int64_t> open{};         ///< now
    std::atomic<std::int64_t> cut{};          ///< closed before the client received its answer
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
