// The only source with Boost.Asio and Boost.Beast, which take 15 seconds to compile.
#include "runtime/monitor/http_server.h"

#include "parallel/base/check.h"

// Asio 1.74 uses std::exchange without including it.
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <ctime>
#include <optional>
#include <set>
#include <sys/resource.h>
#include <thread>
#include <unistd.h>
#include <utility>

namespace retinue::runtime {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;
using boost::system::error_code;
using Time = std::chrono::steady_clock::time_point;

/// After the last answer of a connection the server reads and drops what the client still sends,
/// for so long and so many bytes: closing at once would reset the connection and lose the answer.
constexpr double kDrain_s = 1;
constexpr std::size_t kDrainBytes = std::size_t{64} << 10;
/// How many connections beyond the limit get a 503 at a time.
constexpr std::size_t kTurnedAway = 16;

Time after(double seconds) {
  return std::chrono::steady_clock::now() +
         std::chrono::duration_cast<std::chrono::steady_clock::duration>(
             std::chrono::duration<double>(seconds));
}

std::string_view reason(int status) {
  return {http::obsolete_reason(static_cast<http::status>(status)).data(),
          http::obsolete_reason(static_cast<http::status>(status)).size()};
}

std::string date() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  std::array<char, 40> text{};
  return {text.data(), std::strftime(text.data(), text.size(), "%a, %d %b %Y %H:%M:%S GMT", &utc)};
}

std::string head_of(const HttpResponse& response, bool keep_alive) {
  return fmt::format(
      "HTTP/1.1 {} {}\r\nDate: {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n{}"
      "Connection: {}\r\nCache-Control: no-store\r\n"
      "Content-Security-Policy: {}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n"
      "X-Content-Type-Options: nosniff\r\nX-Frame-Options: DENY\r\n"
      "Referrer-Policy: no-referrer\r\nCross-Origin-Resource-Policy: same-origin\r\n\r\n",
      response.status, reason(response.status), date(), response.content_type,
      response.body != nullptr ? response.body->size() : 0,
      response.status == 405 ? "Allow: GET, HEAD\r\n" : "", keep_alive ? "keep-alive" : "close",
      response.policy);
}

HttpResponse refusal(int status) {
  return {
      .status = status,
      .body = std::make_shared<const std::string>(fmt::format("{} {}\n", status, reason(status)))};
}

/// A token bucket.
class Pace {
 public:
  Pace(double per_s, double burst) : per_s_(per_s), burst_(burst), tokens_(burst) {}

  /// Takes a token; returns the seconds until it may be used.
  double take() {
    const Time now = std::chrono::steady_clock::now();
    tokens_ = std::min(burst_, tokens_ + per_s_ * std::chrono::duration<double>(now - at_).count());
    at_ = now;
    tokens_ -= 1;
    return tokens_ >= 0 ? 0 : -tokens_ / per_s_;
  }

 private:
  double per_s_, burst_, tokens_;
  Time at_ = std::chrono::steady_clock::now();
};

[[noreturn]] void refuse_address(const HttpAddress& address, const error_code& error) {
  const std::string where = to_string(address);
  if (error == asio::error::address_in_use)
    throw UsageError(
        fmt::format("[--monitor] {} is in use by another program. Choose another port, or 0 for a "
                    "free one.",
                    where));
  if (error == boost::system::errc::address_not_available)
    throw UsageError(
        fmt::format("[--monitor] {}: the host is not this machine, on which rank 0 runs. Name one "
                    "of its own addresses, 0.0.0.0 for all, or the port alone for the loopback.",
                    where));
  if (error == asio::error::access_denied)
    throw UsageError(
        fmt::format("[--monitor] {}: this user may not listen there. Choose a port of 1024 or "
                    "more.",
                    where));
  throw UsageError(fmt::format("[--monitor] {}: cannot listen there: {}.", where, error.message()));
}

}  // namespace

/// The thread, the listening socket and the connections. All members but the constructor and the
/// destructor run on the thread.
class HttpServer::Loop {
 public:
  Loop(HttpAddress& address, Handler handler, const HttpLimits& limits, Counters& counters);
  ~Loop();

 private:
  friend class Connection;

  void listen(HttpAddress& address);
  void run();
  void accept();
  void accept_later(double seconds);
  void admit(tcp::socket socket);
  using Connections = std::set<std::shared_ptr<Connection>>;
  static bool make_room(const Connections& among, bool expendable);
  void count(int status);

  Handler handler_;
  HttpLimits limits_;
  Counters& counters_;
  Pace pace_;
  bool loopback_ = false;
  asio::io_context io_{1};
  tcp::acceptor acceptor_{io_};
  asio::steady_timer accept_timer_{io_};
  Connections connections_;
  Connections turned_away_;  ///< get a 503, since all places are taken
  std::thread thread_;       // last
};

/// One client. It lives while the loop lists it or one of its operations is pending.
class HttpServer::Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(Loop& loop, tcp::socket socket)
      : loop_(loop),
        socket_(std::move(socket)),
        timer_(socket_.get_executor()),
        buffer_(loop.limits_.header_bytes) {}

  /// Waits for the first byte of a request.
  void wait() {
    since_ = std::chrono::steady_clock::now();
    if (buffer_.size() > 0) return read();  // it came with the request before
    expendable_ = true;
    limit(loop_.limits_.idle_s);
    socket_.async_wait(tcp::socket::wait_read,
                       [self = shared_from_this()](const error_code& error) {
                         if (error || self->closed_) return self->close();
                         self->read();
                       });
  }

  /// Answers and closes: the rest of the input cannot be trusted to begin a request.
  void refuse(int status) {
    keep_alive_ = false;
    write(refusal(status));
  }

  /// Whether it may be closed to make room: it is between requests, or its last answer is sent.
  [[nodiscard]] bool expendable() const { return expendable_; }
  [[nodiscard]] Time since() const { return since_; }

  void close() {
    if (closed_) return;
    closed_ = true;
    error_code ignored;
    timer_.cancel();
    socket_.close(ignored);
    const auto self = shared_from_this();
    if (loop_.connections_.erase(self) + loop_.turned_away_.erase(self) > 0) --loop_.counters_.open;
  }

 private:
  /// Cancels the pending operation after so long.
  void limit(double seconds) {
    const std::uint64_t stage = ++stage_;
    late_ = false;
    timer_.expires_at(after(seconds));
    timer_.async_wait([self = shared_from_this(), stage](const error_code& error) {
      // This handler may be queued already when the next stage begins.
      if (error || self->closed_ || self->stage_ != stage) return;
      self->late_ = true;
      error_code ignored;
      self->socket_.cancel(ignored);
    });
  }

  void read() {
    expendable_ = false;
    limit(loop_.limits_.request_s);
    parser_.emplace();
    parser_->header_limit(static_cast<std::uint32_t>(loop_.limits_.header_bytes));
    http::async_read_header(
        socket_, buffer_, *parser_,
        [self = shared_from_this()](const error_code& error, std::size_t) { self->got(error); });
  }

  void got(const error_code& error) {
    if (closed_) return;
    if (late_) return refuse(408);
    if (error == http::error::header_limit || error == http::error::buffer_overflow) {
      // The target is empty until the whole first line is there.
      return refuse(parser_->get().target().empty() ? 414 : 431);
    }
    if (error == http::error::bad_version) return refuse(505);
    if (error == http::error::end_of_stream || error == http::error::partial_message)
      return close();
    if (error && error.category() == http::make_error_code(http::error::bad_method).category())
      return refuse(400);
    if (error) return close();
    const auto& request = parser_->get();
    head_only_ = request.method() == http::verb::head;
    if (request.method() != http::verb::get && !head_only_) return refuse(405);
    if (parser_->chunked() || parser_->content_length().value_or(0) > 0) return refuse(413);
    if (request.target().size() > loop_.limits_.target_bytes) return refuse(414);
    const auto hosts = request.count(http::field::host);
    if (hosts > 1 || (hosts == 0 && request.version() >= 11)) return refuse(400);
    if (loop_.loopback_ && hosts == 1) {
      const auto host = request[http::field::host];
      if (!names_loopback({host.data(), host.size()})) return refuse(421);
    }
    const double wait_s = loop_.pace_.take();
    if (wait_s == 0) return answer();
    const std::uint64_t stage = ++stage_;
    timer_.expires_at(after(wait_s));
    timer_.async_wait([self = shared_from_this(), stage](const error_code& failed) {
      if (!failed && !self->closed_ && self->stage_ == stage) self->answer();
    });
  }

  void answer() {
    const auto& request = parser_->get();
    const std::string_view path =
        path_of_target({request.target().data(), request.target().size()});
    keep_alive_ = request.keep_alive() && ++answered_ < loop_.limits_.requests_per_connection;
    HttpResponse response;
    if (path.empty()) return refuse(400);
    try {
      response = loop_.handler_(path);
    } catch (const std::exception&) {
      response = refusal(500);
    }
    write(std::move(response));
  }

  void write(HttpResponse response) {
    loop_.count(response.status);
    head_ = head_of(response, keep_alive_);
    body_ = head_only_ ? nullptr : std::move(response.body);
    const std::array<asio::const_buffer, 2> parts = {
        asio::buffer(head_), body_ != nullptr ? asio::buffer(*body_) : asio::const_buffer()};
    limit(loop_.limits_.write_s);
    asio::async_write(socket_, parts,
                      [self = shared_from_this()](const error_code& error, std::size_t bytes) {
                        self->wrote(error, bytes);
                      });
  }

  void wrote(const error_code& error, std::size_t bytes) {
    loop_.counters_.sent_bytes += static_cast<std::int64_t>(bytes);
    if (closed_) return;
    if (error) {
      ++loop_.counters_.cut;
      return close();
    }
    body_.reset();
    head_only_ = false;
    if (keep_alive_) return wait();
    error_code ignored;
    socket_.shutdown(tcp::socket::shutdown_send, ignored);
    expendable_ = true;
    since_ = std::chrono::steady_clock::now();
    limit(kDrain_s);
    drain();
  }

  void drain() {
    socket_.async_read_some(
        asio::buffer(dropped_),
        [self = shared_from_this()](const error_code& error, std::size_t bytes) {
          self->drained_ += bytes;
          if (error || self->closed_ || self->drained_ > kDrainBytes) return self->close();
          self->drain();
        });
  }

  Loop& loop_;
  tcp::socket socket_;
  asio::steady_timer timer_;
  std::uint64_t stage_ = 0;
  bool late_ = false, closed_ = false, expendable_ = true, keep_alive_ = false, head_only_ = false;
  Time since_ = std::chrono::steady_clock::now();
  beast::flat_buffer buffer_;
  std::optional<http::request_parser<http::empty_body>> parser_;
  int answered_ = 0;
  std::string head_;
  std::shared_ptr<const std::string> body_;
  std::array<char, 1024> dropped_{};
  std::size_t drained_ = 0;
};

HttpServer::Loop::Loop(HttpAddress& address, Handler handler, const HttpLimits& limits,
                       Counters& counters)
    : handler_(std::move(handler)),
      limits_(limits),
      counters_(counters),
      pace_(limits.pace_per_s, limits.burst) {
  listen(address);
  accept();
  thread_ = std::thread([this] { run(); });
}

HttpServer::Loop::~Loop() {
  io_.stop();
  thread_.join();
  // Pending handlers hold connections, and connections refer to this.
  connections_.clear();
  turned_away_.clear();
}

void HttpServer::Loop::listen(HttpAddress& address) {
  error_code error;
  tcp::resolver resolver(io_);
  const auto found = resolver.resolve(address.host, std::to_string(address.port),
                                      tcp::resolver::numeric_service, error);
  if (error || found.empty())
    throw UsageError(
        fmt::format("[--monitor] the host '{}' is not known here: {}. Name an address "
                    "of the machine on which rank 0 runs.",
                    address.host, error.message()));
  for (const auto& entry : found) {
    const tcp::endpoint endpoint = entry.endpoint();
    if (acceptor_.is_open()) acceptor_.close();
    acceptor_.open(endpoint.protocol(), error);
    if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor_.bind(endpoint, error);
    if (!error) acceptor_.listen(64, error);
    if (!error) break;
  }
  if (error) refuse_address(address, error);
  const tcp::endpoint bound = acceptor_.local_endpoint();
  address.port = bound.port();
  loopback_ = bound.address().is_loopback();
}

void HttpServer::Loop::run() {
  // Other threads handle signals.
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
  // On Linux this concerns this thread alone. Where it is refused, the pace still bounds the cost.
  static_cast<void>(setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), limits_.nice));
  while (!io_.stopped()) {
    try {
      io_.run();
    } catch (const std::exception&) {
      // One connection failed, probably for lack of memory. The others go on.
    }
  }
}

void HttpServer::Loop::accept() {
  acceptor_.async_accept([this](const error_code& error, tcp::socket socket) {
    if (error == asio::error::operation_aborted) return;
    // Probably no descriptor is free: the others wait in the system's queue.
    if (error) return accept_later(0.1);
    ++counters_.connections;
    admit(std::move(socket));
    accept_later(pace_.take());
  });
}

void HttpServer::Loop::accept_later(double seconds) {
  if (seconds == 0) return accept();
  accept_timer_.expires_at(after(seconds));
  accept_timer_.async_wait([this](const error_code& error) {
    if (!error) accept();
  });
}

void HttpServer::Loop::admit(tcp::socket socket) {
  error_code error;
  socket.non_blocking(true, error);
  if (!error) socket.set_option(tcp::no_delay(true), error);
  if (error) return;  // the client has left already
  const auto connection = std::make_shared<Connection>(*this, std::move(socket));
  if (connections_.size() >= limits_.connections && !make_room(connections_, true)) {
    if (turned_away_.size() >= kTurnedAway) make_room(turned_away_, false);
    turned_away_.insert(connection);
    ++counters_.open;
    return connection->refuse(503);
  }
  connections_.insert(connection);
  ++counters_.open;
  connection->wait();
}

/// Closes the connection that has waited longest; with `expendable`, only one that may be closed.
/// False: there was none.
bool HttpServer::Loop::make_room(const Connections& among, bool expendable) {
  std::shared_ptr<Connection> oldest;
  for (const auto& connection : among)
    if ((!expendable || connection->expendable()) &&
        (oldest == nullptr || connection->since() < oldest->since()))
      oldest = connection;
  if (oldest != nullptr) oldest->close();
  return oldest != nullptr;
}

void HttpServer::Loop::count(int status) {
  const auto* known = std::ranges::find(Counters::kStatuses, status);
  check(known != Counters::kStatuses.end(), "every status of an answer is in kStatuses");
  ++counters_.responses[static_cast<std::size_t>(known - Counters::kStatuses.begin())];
}

HttpServer::HttpServer(const HttpAddress& address, Handler handler, const HttpLimits& limits)
    : address_(address),
      loop_(std::make_unique<Loop>(address_, std::move(handler), limits, counters_)) {}

HttpServer::~HttpServer() = default;

}  // namespace retinue::runtime
