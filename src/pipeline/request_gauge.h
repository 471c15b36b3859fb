// How many requests wait, run and are done, whoever made them.
#pragma once

#include <atomic>
#include <cstdint>

namespace qvl {

/// Thread-safe. Outlives its requests.
class RequestGauge {
 public:
  /// One request: waits from the beginning, runs from begin() on, is done when this object ends.
  class Request {
   public:
    explicit Request(RequestGauge& gauge) : gauge_(gauge), place_(&gauge.waiting_) { ++*place_; }
    ~Request() {
      --*place_;
      if (!withdrawn_) ++gauge_.done_;
    }
    Request(const Request&) = delete;
    Request& operator=(const Request&) = delete;

    void begin() {
      --*place_;
      place_ = &gauge_.running_;
      ++*place_;
    }
    /// It ends without being done: another one takes its place.
    void withdraw() { withdrawn_ = true; }

   private:
    RequestGauge& gauge_;
    std::atomic<uint64_t>* place_;
    bool withdrawn_ = false;
  };

  uint64_t waiting() const { return waiting_; }
  uint64_t running() const { return running_; }
  uint64_t done() const { return done_; }

 private:
  std::atomic<uint64_t> waiting_{0}, running_{0}, done_{0};
};

}  // namespace qvl
