// Contrast by WCAG 2.2: every visible text against its ground (1.4.3: 4.5, large 3), and the edges
// of controls against what is around them (1.4.11: 3).
() => {
  const channels = (text) => {
    const [r, g, b, a = 1] = text.match(/[\d.]+/g).map(Number);
    return { r, g, b, a };
  };
  const luminance = ({ r, g, b }) => {
    const linear = (c) => ((c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  };
  const ratio = (one, other) => {
    const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const ground = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = channels(getComputedStyle(e).backgroundColor);
      if (colour.a === 1) return colour;
      if (colour.a !== 0) throw new Error("a translucent ground");
    }
    return { r: 255, g: 255, b: 255, a: 1 };
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode.textContent.trim(), e = walker.currentNode.parentElement;
    if (!text || !e.checkVisibility() || e.tagName === "OPTION") continue;
    const look = getComputedStyle(e), size = parseFloat(look.fontSize);
    const large = size >= 24 || (size >= 18.66 && look.fontWeight >= 700);
    const value = ratio(channels(look.color), ground(e));
    found.push({ what: text.slice(0, 40), ink: look.color, ratio: value, needed: large ? 3 : 4.5 });
  }
  for (const e of document.querySelectorAll("select, input")) {
    const look = getComputedStyle(e), edge = channels(look.borderTopColor);
    for (const around of [ground(e.parentElement), ground(e)])
      found.push({ what: e.id, ink: look.borderTopColor, ratio: ratio(edge, around), needed: 3 });
  }
  const accent = getComputedStyle(document.querySelector("main a")).color;
  found.push({ what: "focus", ink: accent, ratio: ratio(channels(accent), ground(document.body)), needed: 3 });
  return found;
}
