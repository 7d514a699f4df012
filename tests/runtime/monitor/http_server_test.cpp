// The answers of the server, and how it refuses garbage, slow clients, long and many requests.
#include "runtime/monitor/http_server.h"

#include "parallel/base/check.h"
#include "tests/support/http_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <thread>
#include <vector>

namespace retinue::runtime {
namespace {

using test::http_body;
using test::http_exchange;
using test::http_get;
using test::http_status;
using test::HttpClient;
using testing::HasSubstr;
using testing::Not;

HttpResponse answer(std::string_view path) {
  if (path == "/throws") throw std::runtime_error("secret");
  if (path == "/big")
    return {.body = std::make_shared<const std::string>(std::size_t{64} << 20, 'x')};
  if (path == "/hello") return {.body = std::make_shared<const std::string>("hello")};
  return {.status = 404, .body = std::make_shared<const std::string>("none\n")};
}

/// Limits that no client of a busy machine reaches. A nice thread would hardly run there.
HttpLimits patient() {
  HttpLimits limits;
  limits.nice = 0;
  limits.request_s = limits.idle_s = limits.write_s = 60;
  limits.pace_per_s = 1e6, limits.burst = 1e6;
  return limits;
}

/// Limits whose end a test waits for.
HttpLimits quick() {
  HttpLimits limits = patient();
  limits.request_s = 0.3, limits.idle_s = 0.6, limits.write_s = 0.3;
  return limits;
}

class Server : public testing::Test {
 protected:
  void serve(const HttpLimits& limits = patient(), const std::string& host = "127.0.0.1") {
    server_ = std::make_unique<HttpServer>(HttpAddress{.host = host, .port = 0}, answer, limits);
    port_ = server_->address().port;
  }
  /// Waits until `done`, for 20 seconds at most.
  template <class Done>
  static bool soon(Done done) {
    for (int i = 0; i < 2000 && !done(); ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    return done();
  }
  [[nodiscard]] std::int64_t open() const { return server_->counters().open; }

  std::unique_ptr<HttpServer> server_;
  std::uint16_t port_ = 0;
};

TEST_F(Server, AnswersGetAndHead) {
  serve();
  const std::string get = http_get(port_, "/hello?x=1");
  EXPECT_EQ(http_status(get), 200);
  EXPECT_EQ(http_body(get), "hello");
  const std::string head =
      http_exchange(port_, "HEAD /hello HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(http_status(head), 200);
  EXPECT_THAT(head, HasSubstr("Content-Length: 5\r\n"));
  EXPECT_EQ(http_body(head), "");
  EXPECT_EQ(http_status(http_get(port_, "/absent")), 404);
}

TEST_F(Server, EveryAnswerForbidsBrowsersWhatItDoesNotNeed) {
  serve();
  for (const char* path : {"/hello", "/absent", "/%00"}) {
    const std::string head = http_get(port_, path);
    EXPECT_THAT(head, HasSubstr("Content-Security-Policy: default-src 'none'"));
    EXPECT_THAT(head, HasSubstr("X-Content-Type-Options: nosniff\r\n"));
    EXPECT_THAT(head, HasSubstr("Cache-Control: no-store\r\n"));
    EXPECT_THAT(head, Not(HasSubstr("Access-Control")));
  }
}

TEST_F(Server, AnswersManyRequestsOnOneConnectionUpToItsLimit) {
  HttpLimits limits = patient();
  limits.requests_per_connection = 3;
  serve(limits);
  HttpClient client(port_);
  // The client sends all at once; the server answers one after the other.
  for (int i = 0; i < 4; ++i) client.send("GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_THAT(client.read_one(), HasSubstr("Connection: keep-alive"));
  EXPECT_THAT(client.read_one(), HasSubstr("Connection: keep-alive"));
  EXPECT_THAT(client.read_one(), HasSubstr("Connection: close"));
  EXPECT_EQ(client.read_one(), "");
}

TEST_F(Server, RefusesWithTheRightStatus) {
  serve();
  const std::string host = "Host: localhost\r\n";
  for (const auto& [request, status] : std::vector<std::pair<std::string, int>>{
           {"\x16\x03\x01 garbage\r\n\r\n", 400},
           {"\r\n\r\n\r\n", 400},
           {"GET /hello\r\n\r\n", 400},
           {"GET /hello HTTP/2.0\r\n" + host + "\r\n", 505},
           {"GET /hello HTTP/1.1\r\n\r\n", 400},
           {"GET /hello HTTP/1.1\r\n" + host + host + "\r\n", 400},
           {"GET /hello HTTP/1.1\r\n" + host + "no colon\r\n\r\n", 400},
           {"GET /%68ello HTTP/1.1\r\n" + host + "\r\n", 400},
           {"GET /hello HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421},
           {"POST /hello HTTP/1.1\r\n" + host + "Content-Length: 3\r\n\r\nabc", 405},
           {"DELETE /hello HTTP/1.1\r\n" + host + "\r\n", 405},
           {"BREW /hello HTTP/1.1\r\n" + host + "\r\n", 405},
           {"GET /hello HTTP/1.1\r\n" + host + "Content-Length: 3\r\n\r\nabc", 413},
           {"GET /hello HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 413},
           {"GET /" + std::string(1200, 'a') + " HTTP/1.1\r\n" + host + "\r\n", 414},
           {"GET /" + std::string(20000, 'a'), 414},
           {"GET /hello HTTP/1.1\r\n" + host + "X: " + std::string(20000, 'a') + "\r\n\r\n", 431},
       }) {
    const std::string got = http_exchange(port_, request);
    EXPECT_EQ(http_status(got), status) << request.substr(0, 60) << "\n" << got;
    EXPECT_THAT(got, HasSubstr("Connection: close"));
    EXPECT_EQ(got.find("Allow: GET, HEAD") != got.npos, status == 405);
  }
  EXPECT_EQ(http_status(http_get(port_, "/hello")), 200);
}

TEST_F(Server, AnErrorOfItsOwnIsNotExplainedToClients) {
  serve();
  const std::string got = http_get(port_, "/throws");
  EXPECT_EQ(http_status(got), 500);
  EXPECT_THAT(got, Not(HasSubstr("secret")));
}

TEST_F(Server, OldClientsNeedNoHost) {
  serve();
  EXPECT_EQ(http_status(http_exchange(port_, "GET /hello HTTP/1.0\r\n\r\n")), 200);
}

TEST_F(Server, AnswersUnderAnyNameWhenItListensEverywhere) {
  serve(patient(), "0.0.0.0");
  EXPECT_EQ(http_status(http_exchange(
                port_, "GET /hello HTTP/1.1\r\nHost: node0\r\nConnection: close\r\n\r\n")),
            200);
}

TEST_F(Server, CutsARequestThatComesByteByByte) {
  serve(quick());
  HttpClient client(port_);
  int sent = 0;
  for (; sent < 500 && client.send("a"); ++sent)
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_LT(sent, 500);
  EXPECT_EQ(server_->counters().responses[4], 1);  // 408
  EXPECT_TRUE(soon([&] { return open() == 0; }));
}

TEST_F(Server, AnswersThatItWasTooSlowToAClientThatStopsMidway) {
  serve(quick());
  EXPECT_EQ(http_status(http_exchange(port_, "GET /hel")), 408);
}

TEST_F(Server, ClosesAConnectionThatSendsNothing) {
  serve(quick());
  EXPECT_EQ(http_exchange(port_, ""), "");
  EXPECT_TRUE(soon([&] { return open() == 0; }));
}

TEST_F(Server, CutsAClientThatDoesNotReadItsAnswer) {
  serve(quick());
  HttpClient client(port_);
  client.send("GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_TRUE(soon([&] { return server_->counters().cut == 1 && open() == 0; }));
}

TEST_F(Server, ForgetsClientsThatLeaveMidway) {
  serve();
  for (int i = 0; i < 200; ++i) HttpClient(port_).send("GET /hello HT");
  EXPECT_TRUE(soon([&] { return open() == 0; }));
  EXPECT_EQ(http_status(http_get(port_, "/hello")), 200);
}

TEST_F(Server, TheLongestIdleConnectionGivesWayAndNoOther) {
  HttpLimits limits = patient();
  limits.connections = 3;
  serve(limits);
  HttpClient first(port_), second(port_), third(port_);
  const std::string request = "GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n";
  for (HttpClient* client : {&second, &third, &first}) {
    client->send(request);
    EXPECT_EQ(http_status(client->read_one()), 200);
  }
  HttpClient fourth(port_);
  fourth.send(request);
  EXPECT_EQ(http_status(fourth.read_one()), 200);
  EXPECT_EQ(second.read_all(), "");  // it waited for longest
  third.send(request);
  EXPECT_EQ(http_status(third.read_one()), 200);
  EXPECT_EQ(open(), 3);
}

TEST_F(Server, RefusesMoreWhenAllPlacesAreBusy) {
  HttpLimits limits = patient();
  limits.connections = 3;
  serve(limits);
  std::vector<std::unique_ptr<HttpClient>> slow;
  EXPECT_TRUE(soon([&] {
    // A connection whose bytes are unread is idle and may have to give way.
    slow.clear();
    while (slow.size() < 3) {
      slow.push_back(std::make_unique<HttpClient>(port_));
      slow.back()->send("GET /he");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    return http_status(http_get(port_, "/hello")) == 503;
  }));
  slow.pop_back();
  EXPECT_TRUE(soon([&] { return http_status(http_get(port_, "/hello")) == 200; }));
}

TEST_F(Server, KeepsItsPace) {
  HttpLimits limits = patient();
  limits.pace_per_s = 100, limits.burst = 10;
  serve(limits);
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 25; ++i) EXPECT_EQ(http_status(http_get(port_, "/hello")), 200);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  // 25 connections and 25 requests, 10 of them at once. A busy machine only takes longer.
  EXPECT_GT(took.count(), 0.35);
}

TEST_F(Server, EndsWithClientsConnected) {
  serve();
  HttpClient idle(port_), midway(port_);
  midway.send("GET /");
  server_.reset();
  EXPECT_EQ(idle.read_all(), "");
}

TEST_F(Server, APortThatIsTakenIsAUsageError) {
  serve();
  try {
    HttpServer second({.host = "127.0.0.1", .port = port_}, answer);
    ADD_FAILURE() << "two servers at one port";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), HasSubstr("is in use by another program"));
  }
}

TEST_F(Server, AHostThatIsNotHereIsAUsageError) {
  // A documentation address (RFC 5737) and a name that never resolves (RFC 6761).
  for (const auto& [host, why] : {std::pair{"192.0.2.1", "the host is not this machine"},
                                  {"nowhere.invalid", "not known here"}})
    try {
      HttpServer server({.host = host, .port = 0}, answer);
      ADD_FAILURE() << host << " was taken";
    } catch (const UsageError& error) {
      EXPECT_THAT(error.what(), HasSubstr(why));
    }
}

}  // namespace
}  // namespace retinue::runtime
