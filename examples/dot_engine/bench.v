// Dot products of several lengths; the consumer takes a result only now and then. vectors.hex: for each, its pairs.
module bench;
  localparam DOTS = 12;
  reg clk = 0, rst = 1;
  reg write = 0, start = 0, result_ready = 0;
  reg [5:0] address;
  reg [7:0] a, b;
  reg [6:0] length;
  wire idle, result_valid;
  wire [7:0] result;
  reg [15:0] pairs [0:DOTS*64-1];
  reg [15:0] dots [0:DOTS-1];  // length and expected code
  integer d, k, wrong;

  dot_engine dut (
    .clk(clk), .rst(rst), .write(write), .address(address), .write_a(a), .write_b(b), .start(start), .length(length),
    .idle(idle), .result(result), .result_valid(result_valid), .result_ready(result_ready)
  );

  always #1 clk = ~clk;

  initial begin
    $readmemh("pairs.hex", pairs);
    $readmemh("dots.hex", dots);
    wrong = 0;
    repeat (2) @(negedge clk);
    rst = 0;
    for (d = 0; d < DOTS; d = d + 1) begin
      length = dots[d][14:8];
      write = 1;
      for (k = 0; k < length; k = k + 1) begin
        address = k[5:0];
        {a, b} = pairs[64*d + k];
        @(negedge clk);
      end
      write = 0;
      start = 1;
      @(negedge clk);
      start = 0;
      while (!result_valid) @(negedge clk);
      repeat (d % 4) @(negedge clk);  // a result waits
      if (result !== dots[d][7:0]) begin
        wrong = wrong + 1;
        $display("dot product %0d: %h, not %h", d, result, dots[d][7:0]);
      end
      result_ready = 1;
      @(negedge clk);
      result_ready = 0;
      while (!idle) @(negedge clk);
    end
    if (wrong == 0) $display("PASS: %0d dot products", d);
    else $display("FAIL: %0d of %0d dot products", wrong, d);
    $finish;
  end
endmodule
