// Models of cells of ECP5 that Yosys has none of: what synthesis uses of them, without their registers at inputs and
// outputs. Sources: Lattice, ECP5 sysDSP Usage Guide and ECP5 Memory Usage Guide.
`default_nettype none

module MULT18X18D (
  input wire A17, A16, A15, A14, A13, A12, A11, A10, A9, A8, A7, A6, A5, A4, A3, A2, A1, A0, B17, B16, B15, B14,
      B13, B12, B11, B10, B9, B8, B7, B6, B5, B4, B3, B2, B1, B0, C17, C16, C15, C14, C13, C12, C11, C10, C9, C8,
      C7, C6, C5, C4, C3, C2, C1, C0, SIGNEDA, SIGNEDB, SOURCEA, SOURCEB,
  output wire P35, P34, P33, P32, P31, P30, P29, P28, P27, P26, P25, P24, P23, P22, P21, P20, P19, P18, P17, P16,
      P15, P14, P13, P12, P11, P10, P9, P8, P7, P6, P5, P4, P3, P2, P1, P0
);
  wire signed [18:0] a = {SIGNEDA & A17, A17, A16, A15, A14, A13, A12, A11, A10, A9, A8, A7, A6, A5, A4, A3, A2,
      A1, A0};
  wire signed [18:0] b = {SIGNEDB & B17, B17, B16, B15, B14, B13, B12, B11, B10, B9, B8, B7, B6, B5, B4, B3, B2,
      B1, B0};
  wire signed [37:0] product = a * b;
  assign {P35, P34, P33, P32, P31, P30, P29, P28, P27, P26, P25, P24, P23, P22, P21, P20, P19, P18, P17, P16,
      P15, P14, P13, P12, P11, P10, P9, P8, P7, P6, P5, P4, P3, P2, P1, P0} = product[35:0];
endmodule

// A memory of 512 words of 36 bits. A port of less sees a part of each: the higher bits of its address name the word.
// A width of 36 takes the data pins of both ports: A writes, B reads.
module DP16KD #(
  parameter DATA_WIDTH_A = 18, DATA_WIDTH_B = 18, WRITEMODE_A = "NORMAL", WRITEMODE_B = "NORMAL",
  parameter REGMODE_A = "NOREG", REGMODE_B = "NOREG", RESETMODE = "SYNC", ASYNC_RESET_RELEASE = "SYNC",
  parameter CSDECODE_A = "0b000", CSDECODE_B = "0b000", CLKAMUX = "CLKA", CLKBMUX = "CLKB", GSR = "AUTO",
  parameter [319:0] INITVAL_00 = 320'b0, INITVAL_01 = 320'b0, INITVAL_02 = 320'b0, INITVAL_03 = 320'b0, INITVAL_04 =
      320'b0, INITVAL_05 = 320'b0, INITVAL_06 = 320'b0, INITVAL_07 = 320'b0, INITVAL_08 = 320'b0, INITVAL_09 =
      320'b0, INITVAL_0A = 320'b0, INITVAL_0B = 320'b0, INITVAL_0C = 320'b0, INITVAL_0D = 320'b0, INITVAL_0E =
      320'b0, INITVAL_0F = 320'b0, INITVAL_10 = 320'b0, INITVAL_11 = 320'b0, INITVAL_12 = 320'b0, INITVAL_13 =
      320'b0, INITVAL_14 = 320'b0, INITVAL_15 = 320'b0, INITVAL_16 = 320'b0, INITVAL_17 = 320'b0, INITVAL_18 =
      320'b0, INITVAL_19 = 320'b0, INITVAL_1A = 320'b0, INITVAL_1B = 320'b0, INITVAL_1C = 320'b0, INITVAL_1D =
      320'b0, INITVAL_1E = 320'b0, INITVAL_1F = 320'b0, INITVAL_20 = 320'b0, INITVAL_21 = 320'b0, INITVAL_22 =
      320'b0, INITVAL_23 = 320'b0, INITVAL_24 = 320'b0, INITVAL_25 = 320'b0, INITVAL_26 = 320'b0, INITVAL_27 =
      320'b0, INITVAL_28 = 320'b0, INITVAL_29 = 320'b0, INITVAL_2A = 320'b0, INITVAL_2B = 320'b0, INITVAL_2C =
      320'b0, INITVAL_2D = 320'b0, INITVAL_2E = 320'b0, INITVAL_2F = 320'b0, INITVAL_30 = 320'b0, INITVAL_31 =
      320'b0, INITVAL_32 = 320'b0, INITVAL_33 = 320'b0, INITVAL_34 = 320'b0, INITVAL_35 = 320'b0, INITVAL_36 =
      320'b0, INITVAL_37 = 320'b0, INITVAL_38 = 320'b0, INITVAL_39 = 320'b0, INITVAL_3A = 320'b0, INITVAL_3B =
      320'b0, INITVAL_3C = 320'b0, INITVAL_3D = 320'b0, INITVAL_3E = 320'b0, INITVAL_3F = 320'b0
) (
  input wire CLKA, CEA, OCEA, WEA, RSTA, CSA2, CSA1, CSA0, ADA13, ADA12, ADA11, ADA10, ADA9, ADA8, ADA7, ADA6, ADA5,
      ADA4, ADA3, ADA2, ADA1, ADA0, DIA17, DIA16, DIA15, DIA14, DIA13, DIA12, DIA11, DIA10, DIA9, DIA8, DIA7, DIA6,
      DIA5, DIA4, DIA3, DIA2, DIA1, DIA0, CLKB, CEB, OCEB, WEB, RSTB, CSB2, CSB1, CSB0, ADB13, ADB12, ADB11, ADB10,
      ADB9, ADB8, ADB7, ADB6, ADB5, ADB4, ADB3, ADB2, ADB1, ADB0, DIB17, DIB16, DIB15, DIB14, DIB13, DIB12, DIB11,
      DIB10, DIB9, DIB8, DIB7, DIB6, DIB5, DIB4, DIB3, DIB2, DIB1, DIB0,
  output wire DOA17, DOA16, DOA15, DOA14, DOA13, DOA12, DOA11, DOA10, DOA9, DOA8, DOA7, DOA6, DOA5, DOA4, DOA3,
      DOA2, DOA1, DOA0, DOB17, DOB16, DOB15, DOB14, DOB13, DOB12, DOB11, DOB10, DOB9, DOB8, DOB7, DOB6, DOB5, DOB4,
      DOB3, DOB2, DOB1, DOB0
);
  localparam [20479:0] INITIAL = {INITVAL_3F, INITVAL_3E, INITVAL_3D, INITVAL_3C, INITVAL_3B, INITVAL_3A,
      INITVAL_39, INITVAL_38, INITVAL_37, INITVAL_36, INITVAL_35, INITVAL_34, INITVAL_33, INITVAL_32,
      INITVAL_31, INITVAL_30, INITVAL_2F, INITVAL_2E, INITVAL_2D, INITVAL_2C, INITVAL_2B, INITVAL_2A,
      INITVAL_29, INITVAL_28, INITVAL_27, INITVAL_26, INITVAL_25, INITVAL_24, INITVAL_23, INITVAL_22,
      INITVAL_21, INITVAL_20, INITVAL_1F, INITVAL_1E, INITVAL_1D, INITVAL_1C, INITVAL_1B, INITVAL_1A,
      INITVAL_19, INITVAL_18, INITVAL_17, INITVAL_16, INITVAL_15, INITVAL_14, INITVAL_13, INITVAL_12,
      INITVAL_11, INITVAL_10, INITVAL_0F, INITVAL_0E, INITVAL_0D, INITVAL_0C, INITVAL_0B, INITVAL_0A,
      INITVAL_09, INITVAL_08, INITVAL_07, INITVAL_06, INITVAL_05, INITVAL_04, INITVAL_03, INITVAL_02,
      INITVAL_01, INITVAL_00};
  wire [13:0] address_a = {ADA13, ADA12, ADA11, ADA10, ADA9, ADA8, ADA7, ADA6, ADA5, ADA4, ADA3, ADA2, ADA1,
      ADA0};
  wire [13:0] address_b = {ADB13, ADB12, ADB11, ADB10, ADB9, ADB8, ADB7, ADB6, ADB5, ADB4, ADB3, ADB2, ADB1,
      ADB0};
  wire [17:0] in_a = {DIA17, DIA16, DIA15, DIA14, DIA13, DIA12, DIA11, DIA10, DIA9, DIA8, DIA7, DIA6, DIA5,
      DIA4, DIA3, DIA2, DIA1, DIA0};
  wire [17:0] in_b = {DIB17, DIB16, DIB15, DIB14, DIB13, DIB12, DIB11, DIB10, DIB9, DIB8, DIB7, DIB6, DIB5,
      DIB4, DIB3, DIB2, DIB1, DIB0};

  function [5:0] place(input integer width, input [13:0] address);  // of a port's lowest bit in a word
    case (width)
      36: place = 0;
      18: place = 18 * address[4];
      9: place = 18 * address[4] + 9 * address[3];
      4: place = 18 * address[4] + 9 * address[3] + 4 * address[2];
      2: place = 18 * address[4] + 9 * address[3] + 2 * address[2:1];
      default: place = 18 * address[4] + 9 * address[3] + address[2:0];
    endcase
  endfunction

  function [35:0] span(input integer width, input [13:0] address);  // the bits of a word that a port writes
    case (width)
      36: span = {{9{address[3]}}, {9{address[2]}}, {9{address[1]}}, {9{address[0]}}};
      18: span = {{9{address[1]}}, {9{address[0]}}} << place(width, address);
      default: span = ((36'd1 << width) - 36'd1) << place(width, address);
    endcase
  endfunction

  reg [35:0] words [0:511];
  reg [35:0] out_a = 0, out_b = 0;
  integer word;
  initial
    for (word = 0; word < 512; word = word + 1)
      words[word] = {INITIAL[20 * (2 * word + 1) +: 18], INITIAL[20 * 2 * word +: 18]};

  wire [35:0] data_a = (DATA_WIDTH_A == 36 ? {in_b, in_a} : {18'd0, in_a}) << place(DATA_WIDTH_A, address_a);
  wire [35:0] data_b = {18'd0, in_b} << place(DATA_WIDTH_B, address_b);

  wire [35:0] span_a = CEA && WEA && !RSTA ? span(DATA_WIDTH_A, address_a) : 36'd0;
  wire [35:0] old_a = words[address_a[13:5]];
  wire [35:0] new_a = (old_a & ~span_a) | (data_a & span_a);
  integer bit_a;
  always @(posedge CLKA) begin
    for (bit_a = 0; bit_a < 36; bit_a = bit_a + 1)
      if (span_a[bit_a]) words[address_a[13:5]][bit_a] <= data_a[bit_a];
    if (RSTA) out_a <= 0;
    else if (CEA && (!WEA || WRITEMODE_A != "NORMAL"))
      out_a <= (WEA && WRITEMODE_A == "WRITETHROUGH" ? new_a : old_a) >> place(DATA_WIDTH_A, address_a);
  end

  wire [35:0] span_b = CEB && WEB && !RSTB && DATA_WIDTH_A != 36 ? span(DATA_WIDTH_B, address_b) : 36'd0;
  wire [35:0] old_b = words[address_b[13:5]];
  wire [35:0] new_b = (old_b & ~span_b) | (data_b & span_b);
  integer bit_b;
  always @(posedge CLKB) begin
    for (bit_b = 0; bit_b < 36; bit_b = bit_b + 1)
      if (span_b[bit_b]) words[address_b[13:5]][bit_b] <= data_b[bit_b];
    if (RSTB) out_b <= 0;
    else if (CEB && (!WEB || WRITEMODE_B != "NORMAL"))
      out_b <= (WEB && WRITEMODE_B == "WRITETHROUGH" ? new_b : old_b) >> place(DATA_WIDTH_B, address_b);
  end

  assign {DOA17, DOA16, DOA15, DOA14, DOA13, DOA12, DOA11, DOA10, DOA9, DOA8, DOA7, DOA6, DOA5, DOA4, DOA3,
      DOA2, DOA1, DOA0} = DATA_WIDTH_B == 36 ? out_b[17:0] : out_a[17:0];
  assign {DOB17, DOB16, DOB15, DOB14, DOB13, DOB12, DOB11, DOB10, DOB9, DOB8, DOB7, DOB6, DOB5, DOB4, DOB3,
      DOB2, DOB1, DOB0} = DATA_WIDTH_B == 36 ? out_b[35:18] : out_b[17:0];
endmodule

`default_nettype wire
