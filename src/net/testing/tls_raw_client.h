#pragma once

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>

#include <memory>
#include <string>

#include "base/mutex.h"
#include "net/testing/certificates.h"
#include "net/testing/raw_client.h"

namespace leadsman::net {

struct FreeTls {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  void operator()(SSL* ssl) const { SSL_free(ssl); }
};
using TestTlsContext = std::unique_ptr<SSL_CTX, FreeTls>;

/// A client's side of TLS that trusts `authority_pem` and shows `own`, if there is one.
inline TestTlsContext MakeTestTlsContext(const std::string& authority_pem,
                                         const TestCertificate& own = {}) {
  TestTlsContext context(SSL_CTX_new(TLS_client_method()));
  auto reader = [](const std::string& pem) { return BIO_new_mem_buf(pem.data(), int(pem.size())); };
  BIO* bio = reader(authority_pem);
  X509* authority = PEM_read_bio_X509(bio, nullptr, nullptr, nullptr);
  BIO_free(bio);
  X509_STORE_add_cert(SSL_CTX_get_cert_store(context.get()), authority);
  X509_free(authority);
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  if (own.key.empty()) return context;
  bio = reader(own.certificate);
  X509* certificate = PEM_read_bio_X509(bio, nullptr, nullptr, nullptr);
  BIO_free(bio);
  bio = reader(own.key);
  EVP_PKEY* key = PEM_read_bio_PrivateKey(bio, nullptr, nullptr, nullptr);
  BIO_free(bio);
  SSL_CTX_use_certificate(context.get(), certificate);
  SSL_CTX_use_PrivateKey(context.get(), key);
  X509_free(certificate);
  EVP_PKEY_free(key);
  return context;
}

/// A RawClient that speaks TLS when it is given a context. One thread may send while another reads.
class TlsRawClient : public RawClient {
 public:
  explicit TlsRawClient(uint16_t port, SSL_CTX* context = nullptr, SSL_SESSION* session = nullptr)
      : RawClient(port) {
    if (context == nullptr || !connected()) return;
    ssl_.reset(SSL_new(context));
    fcntl(fd(), F_SETFL, fcntl(fd(), F_GETFL) | O_NONBLOCK);
    SSL_set_fd(ssl_.get(), fd());
    SSL_set_mode(ssl_.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    if (session != nullptr) SSL_set_session(ssl_.get(), session);
    shaken_ = Do([this] { return SSL_connect(ssl_.get()); }) == 1;
  }

  bool shaken() const { return shaken_; }
  SSL* ssl() { return ssl_.get(); }
  /// What OpenSSL says of the latest failure.
  const std::string& tls_error() const { return error_; }

 protected:
  ssize_t Put(std::string_view bytes) override {
    if (!ssl_) return RawClient::Put(bytes);
    return Do([&] { return SSL_write(ssl_.get(), bytes.data(), int(bytes.size())); });
  }
  ssize_t Get(char* out, size_t room) override {
    if (!ssl_) return RawClient::Get(out, room);
    const int n = Do([&] { return SSL_read(ssl_.get(), out, int(room)); });
    MutexLock lock(mutex_);
    return n <= 0 && (SSL_get_shutdown(ssl_.get()) & SSL_RECEIVED_SHUTDOWN) != 0 ? 0 : n;
  }
  bool AwaitInput() override { return ssl_ != nullptr || RawClient::AwaitInput(); }

 private:
  /// Until it is done, has failed, or nothing has happened for ten seconds.
  template <typename Call>
  int Do(Call call) {
    for (;;) {
      int result;
      int error;
      {
        MutexLock lock(mutex_);
        ERR_clear_error();
        result = call();
        if (result > 0) return result;
        error = SSL_get_error(ssl_.get(), result);
        const char* reason = ERR_reason_error_string(ERR_peek_last_error());
        error_ = reason != nullptr ? reason : "";
      }
      if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) return -1;
      pollfd p{fd(), short(error == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT), 0};
      if (poll(&p, 1, 10'000) <= 0) return -1;
    }
  }

  Mutex mutex_;
  std::unique_ptr<SSL, FreeTls> ssl_;
  bool shaken_ = false;
  std::string error_;
};

}  // namespace leadsman::net
