// The floor of the serving benchmark: the product's own HTTP server and nothing behind it. Answers
// every request with its body. Usage: echo_server PORT IO_THREADS [CERT_FILE KEY_FILE]; prints the port it listens on
// and serves until SIGTERM, over TLS when it has a certificate.
#include <pthread.h>
#include <signal.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "net/http_server.h"

int main(int argc, char** argv) {
  // Before any thread exists, so that all of them leave these signals to sigwait below.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  leadsman::net::HttpServerOptions options;
  options.name = "echo";
  options.port = static_cast<uint16_t>(argc > 1 ? std::atoi(argv[1]) : 0);
  options.io_threads = argc > 2 ? std::atoi(argv[2]) : 1;
  if (argc > 4) {
    auto certificates = leadsman::net::ServerCertificates::Create(
        {.cert_file = argv[3], .key_file = argv[4]}, leadsman::SystemClock());
    if (!certificates.ok()) {
      std::fprintf(stderr, "echo_server: %s\n", certificates.status().ToString().c_str());
      return 1;
    }
    options.certificates = *certificates;
  }
  auto server =
      leadsman::net::HttpServer::Start(options, [](leadsman::net::HttpExchange& exchange) {
        exchange.response().body.append(exchange.request().body);
      });
  if (!server.ok()) {
    std::fprintf(stderr, "echo_server: %s\n", server.status().ToString().c_str());
    return 1;
  }
  std::printf("%u\n", static_cast<unsigned>((*server)->port()));
  std::fflush(stdout);
  int received = 0;
  sigwait(&signals, &received);
  (*server)->Shutdown(std::chrono::seconds(5));
  return 0;
}
