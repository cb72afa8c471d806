// Every code of posit<8,2> through the polynomial, one a cycle; expected.hex holds what the golden model says.
module bench;
  localparam LATENCY = 6;
  reg clk = 0;
  reg [7:0] x;
  wire [7:0] y;
  reg [7:0] expected [0:255];
  integer t, wrong;

  polynomial dut (.clk(clk), .rst(1'b0), .x(x), .y(y));

  initial begin
    $readmemh("expected.hex", expected);
    wrong = 0;
    for (t = 0; t < 256 + LATENCY; t = t + 1) begin
      x = t[7:0];
      #1;
      if (t >= LATENCY && y !== expected[t - LATENCY]) begin
        wrong = wrong + 1;
        $display("x = %h: %h, not %h", t[7:0] - LATENCY[7:0], y, expected[t - LATENCY]);
      end
      clk = 1;
      #1 clk = 0;
    end
    if (wrong == 0) $display("PASS: 256 results");
    else $display("FAIL: %0d of 256 results", wrong);
    $finish;
  end
endmodule
