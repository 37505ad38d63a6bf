import { Component, type ComponentChild, type FunctionComponent, createElement } from "preact";

/** Draws a component again only when `same` says that its properties differ. */
export function memo<P extends object>(draw: FunctionComponent<P>, same: (old: P, now: P) => boolean): FunctionComponent<P> {
  class Memo extends Component<P> {
    override shouldComponentUpdate(now: Readonly<P>): boolean {
      return !same(this.props as P, now as P);
    }

    override render(): ComponentChild {
      return createElement(draw, this.props as P);
    }
  }
  return Memo as unknown as FunctionComponent<P>;
}
