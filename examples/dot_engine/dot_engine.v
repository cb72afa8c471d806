// Dot products of vectors in two memories, which a processor would fill: `start` takes a length, the engine reads one
// pair a cycle and feeds the exact MAC, and the rounded result waits at the output until it is taken.
module dot_engine (
  input  wire       clk,
  input  wire       rst,
  input  wire       write,        // load a pair
  input  wire [5:0] address,
  input  wire [7:0] write_a,
  input  wire [7:0] write_b,
  input  wire       start,        // while `idle`
  input  wire [6:0] length,       // 1..64 pairs, from address 0
  output wire       idle,
  output wire [7:0] result,
  output wire       result_valid,
  input  wire       result_ready
);
  reg [15:0] memory [0:63];
  reg [15:0] pair;
  reg [6:0]  left;                // pairs that are still to be read
  reg [5:0]  next;
  reg        valid, last;         // whether `pair` holds one, and whether it is the final one
  wire       ready;
  wire       step = ready | ~valid;

  assign idle = (left == 0) & ~valid;

  always @(posedge clk) begin
    if (write) memory[address] <= {write_a, write_b};
    if (rst) begin
      left <= 0;
      valid <= 0;
    end else if (idle & start) begin
      left <= length;
      next <= 0;
    end else if (step) begin
      pair <= memory[next];
      valid <= left != 0;
      last <= left == 1;
      if (left != 0) begin
        left <= left - 7'd1;
        next <= next + 6'd1;
      end
    end
  end

  posit_mac_8_2_quire31_s2 mac (
    .clk     (clk),
    .rst     (rst),
    .i_a     (pair[15:8]),
    .i_b     (pair[7:0]),
    .i_last  (last),
    .i_valid (valid),
    .i_ready (ready),
    .o_code  (result),
    .o_valid (result_valid),
    .o_ready (result_ready)
  );
endmodule
